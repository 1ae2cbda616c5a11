"""Limits of the test stacks: all tests come from one address, and many of them are refused on purpose."""

WIDE = {
    "QUARTET_LIMIT_REFUSED": "100000/60",
    "QUARTET_LIMIT_LOGINS": "100000/3600",
    "QUARTET_LIMIT_SECRETS": "100000/600",
}
"""What every test stack is told. The limit that it has by default has tests of its own."""
