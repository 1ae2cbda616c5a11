"""Core: the basis of all other packages; it imports none of them."""
