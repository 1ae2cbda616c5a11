"""The metadata of metrics: type, unit and meaning; no I/O."""

from typing import Final, NamedTuple

from quartet_metrics.series.catalog_domain import METRICS

MAX_METRICS: Final = 2_000
"""Metrics of the applications of a tenant whose metadata is kept."""
MAX_UNIT, MAX_HELP = 64, 1_000
"""Maximum lengths in characters; the rest of a longer text is left out."""


class Metadata(NamedTuple):
    """Type, unit and meaning of a metric, with the names that Prometheus has for them."""

    type: str
    unit: str
    help: str


OWN: Final = {one.name: Metadata(one.type, one.unit, one.meaning) for one in METRICS.values()}
"""The metadata of Quartet's own metrics."""


def sent_metadata(kind: str, unit: str, text: str) -> Metadata:
    """The metadata that an application has sent; PostgreSQL cannot store the character NUL."""
    return Metadata(kind, unit.replace("\0", "")[:MAX_UNIT], text.replace("\0", "")[:MAX_HELP])
