"""HTTP of the groups service: each route parses, calls one use case or query, and answers."""
