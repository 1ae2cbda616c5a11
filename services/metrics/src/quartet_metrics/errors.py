"""Errors: a question whose answer would be too large."""

from quartet_common.core.errors import BadRequestError
from quartet_metrics.metric_domain import MAX_POINTS


class TooManyPointsError(BadRequestError):
    """400: the answer would have more than MAX_POINTS points; the text says how to ask for less."""

    def __init__(self) -> None:
        super().__init__(
            f"The response would have more than {MAX_POINTS} points (buckets times series). Use a shorter range "
            "(from, to), step=day, or by=none.",
            "too_many_points",
        )
