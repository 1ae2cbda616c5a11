"""Errors: what is wrong with a question."""

from quartet_common.errors import BadRequestError
from quartet_metrics.domain import MAX_POINTS


class BadParameterError(BadRequestError):
    """400: the query parameter `name` makes no sense; `rule` says what it must be."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name}: {rule}", "bad_parameter")
        self.name = name


class TooManyPointsError(BadRequestError):
    """400: the answer would have more than MAX_POINTS points; the text says how to ask for less."""

    def __init__(self) -> None:
        super().__init__(
            f"The answer would have more than {MAX_POINTS} points (buckets times series). Ask for a shorter range "
            "(from, to), for wider buckets (step=day) or for fewer series (by=none).",
            "too_many_points",
        )
