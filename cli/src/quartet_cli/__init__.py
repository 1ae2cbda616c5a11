"""The `quartet` command: runs the stack natively, and is the client for people."""
