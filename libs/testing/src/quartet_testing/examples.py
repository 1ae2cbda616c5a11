"""How many examples hypothesis tries in tests that need more than the default: fewer in `./quartet test quick`."""

from hypothesis import settings

USUAL = 100
"""Examples of hypothesis' default profile."""


def examples(count: int) -> int:
    """`count`, in proportion to the examples of the loaded profile."""
    return max(1, count * settings().max_examples // USUAL)
