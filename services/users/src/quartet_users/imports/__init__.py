"""Imports and exports of users as jobs: a file becomes users, and users become a file."""
