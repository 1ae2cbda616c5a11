"""Parameters of histograms: what a question may look like."""

import pytest

from quartet_audit.entries.histogram_parameters import MAX_BUCKETS, HistogramSearch, read_histogram
from quartet_common.core.errors import BadRequestError

DAYS = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z"}


def ask(**parameters: str) -> HistogramSearch:
    return read_histogram({name: [text] for name, text in parameters.items()})


def test_a_question_has_the_filters_of_a_list() -> None:
    asked = ask(**DAYS, interval="hour", dimension="actor", action="users.*", text="Word")
    assert (asked.interval, asked.dimension, asked.search.prefix) == ("hour", "actor", "users.")
    assert asked.search.text == ("word",)
    assert (ask(**DAYS).interval, ask(**DAYS).dimension) == ("day", None)


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"from": ""}, "from must be given"),
        ({"to": ""}, "to must be given"),
        ({"to": "2025-01-01T00:00:00Z"}, "from must be before to"),
        ({"interval": "second"}, "interval must be one of minute, hour, day, week, got 'second'"),
        ({"interval": "minute"}, f"interval 'minute' gives 43201 buckets .* at most {MAX_BUCKETS}"),
        ({"dimension": "resource"}, "dimension must be one of action, outcome, actor, resource_type, got 'resource'"),
        ({"address": "x"}, "address must be"),
        ({"order": "asc"}, "order is not a known parameter"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_parameter(changed: dict[str, str], detail: str) -> None:
    with pytest.raises(BadRequestError, match=detail):
        ask(**{**DAYS, **changed})


def test_the_largest_number_of_buckets_is_allowed() -> None:
    assert ask(**{**DAYS, "to": "2026-01-02T00:59:00Z", "interval": "minute"}).interval == "minute"
    with pytest.raises(BadRequestError, match="1501 buckets"):
        ask(**{**DAYS, "to": "2026-01-02T01:00:00Z", "interval": "minute"})
