"""HTTP of the users service: each route parses, calls one use case or query, and answers."""
