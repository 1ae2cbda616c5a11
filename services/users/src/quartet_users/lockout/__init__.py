"""The lockout: after failed attempts to guess passwords or secrets, the next ones wait longer and longer."""
