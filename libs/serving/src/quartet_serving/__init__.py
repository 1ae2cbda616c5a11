"""The HTTP server of Quartet's services: HTTP/1.1 and HTTP/2 connections for Quart, with Hypercorn's settings."""
