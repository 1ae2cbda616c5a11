"""The budget of a PATCH: limits the product of operations, values and comparisons of one message."""

from quartet_scim.errors import too_many

SMALL_BUDGET = 20_000
"""A budget of about two milliseconds, for work on the event loop."""
MAX_BUDGET = 1_000_000
"""In visits: reads of one value of a list, about 0.1 us; a comparison by a filter counts as several."""


class PatchBudget:
    """The remaining budget of one PATCH."""

    __slots__ = ("_left",)

    def __init__(self, limit: int = MAX_BUDGET) -> None:
        self._left = limit

    def spend(self, visits: int) -> None:
        """Subtract visits. Raises ScimError 400 tooMany if the budget is used up."""
        self._left -= visits
        if self._left < 0:
            raise too_many("The operations compare too many values. Split the request.")
