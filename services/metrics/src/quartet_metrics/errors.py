"""Errors: a question whose answer would be too large."""

from quartet_common.errors import BadRequestError
from quartet_metrics.domain import MAX_POINTS


class TooManyPointsError(BadRequestError):
    """400: the answer would have more than MAX_POINTS points; the text says how to ask for less."""

    def __init__(self) -> None:
        super().__init__(
            f"The answer would have more than {MAX_POINTS} points (buckets times series). Ask for a shorter range "
            "(from, to), for wider buckets (step=day) or for fewer series (by=none).",
            "too_many_points",
        )
