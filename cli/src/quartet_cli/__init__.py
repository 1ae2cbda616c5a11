"""The `quartet` command: runs the stack natively, and is a client of its APIs."""
