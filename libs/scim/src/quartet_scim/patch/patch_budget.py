"""How much one PATCH may cost: what a message can multiply (operations, values, comparisons) is counted and bounded."""

from quartet_scim.errors import too_many

SMALL_BUDGET = 20_000
"""What takes about two milliseconds, and need not be done in a thread."""
MAX_BUDGET = 1_000_000
"""In visits: a look at one value of a list, about a tenth of a microsecond; a comparison by a filter counts as more."""


class PatchBudget:
    """What is left of one PATCH's share of a processor."""

    __slots__ = ("_left",)

    def __init__(self, limit: int = MAX_BUDGET) -> None:
        self._left = limit

    def spend(self, visits: int) -> None:
        """Account for values that are looked at. Raises ScimError 400 tooMany when it is enough."""
        self._left -= visits
        if self._left < 0:
            raise too_many("The operations compare too many values. Split the request.")
