"""Settings of the test stacks: all tests come from one address, and many of them are refused on purpose."""

WIDE = {
    "QUARTET_LIMIT_CLIENT": "100000/10",
    "QUARTET_LIMIT_USER": "100000/10",
    "QUARTET_LIMIT_ADDRESS": "100000/10",
    "QUARTET_LIMIT_REFUSED": "100000/60",
    "QUARTET_LIMIT_LOGINS": "100000/3600",
    "QUARTET_LIMIT_SECRETS": "100000/600",
    "QUARTET_STREAM_NETWORKS": '["127.0.0.1/32"]',
}
"""The settings of every test stack. The defaults have tests of their own."""
