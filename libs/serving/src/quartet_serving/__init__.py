"""The HTTP server of Quartet's services: HTTP/1.1 and HTTP/2 connections, and the ends of Quart and Hypercorn."""
