"""The filters of entries: every way to read a log takes all of them, with the same rules."""

from collections.abc import Callable

import pytest
from msgspec import Struct, convert, structs

from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.entry_models import Parameters
from quartet_audit.entries.entry_parameters import read_search
from quartet_audit.entries.filter_domain import FILTERS, BadFilterError, Filters
from quartet_audit.entries.histogram_models import HistogramParameters
from quartet_audit.entries.histogram_parameters import read_histogram
from quartet_audit.exports.export_parameters import FORMATS, read_export
from quartet_audit.proofs.log_models import ExportQuery
from quartet_audit.streams.stream_domain import check_filters

VALUES = {
    "action": "users.user.*",
    "actor": "okta",
    "resource": "2819",
    "resource_type": "users",
    "outcome": "denied",
    "address": "192.0.2.0/24",
    "trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736",
    "text": "Barbara  Jensen",
    "from": "2026-01-31T09:00:00Z",
    "to": "2026-01-31T10:00:00+00:00",
}


def stream(given: dict[str, str]) -> Search:
    """As a stream reads its filters; times are in its JSON as in a query string."""
    filters = convert(given, Filters)
    check_filters(filters)
    return filters.search


READERS: dict[str, Callable[[dict[str, str]], Search]] = {
    "list": lambda given: read_search({name: [text] for name, text in given.items()}, "acme"),
    "histogram": lambda given: read_histogram({name: [text] for name, text in given.items()}).search,
    "stream": stream,
    **{
        format_: lambda given, format_=format_: (
            read_export(  # type: ignore[misc]
                {"format": [format_], **{name: [text] for name, text in given.items()}}
            ).search
        )
        for format_ in FORMATS
        if format_ != "bundle"
    },
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_every_filter(reader: str) -> None:
    assert VALUES.keys() == set(FILTERS)
    search = READERS[reader](VALUES)
    assert search == Filters(**{"start" if name == "from" else "end" if name == "to" else name: text
                                for name, text in VALUES.items()}).search  # fmt: skip
    assert (search.prefix, search.text, search.trace_id) == (
        "users.user.", ("barbara", "jensen"), VALUES["trace_id"].lower(),
    )  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("name", "text"), [("address", "192.0.2.7/24"), ("trace_id", "x"), ("text", "@"), ("to", "x")])
def test_every_reader_names_an_invalid_filter_and_says_the_same(reader: str, name: str, text: str) -> None:
    with pytest.raises(BadFilterError) as expected:
        _ = Filters(**{"end" if name == "to" else name: text}).search
    given = {**VALUES, name: text}
    with pytest.raises(BadFilterError) as caught:
        READERS[reader](given)
    assert caught.value.detail.removeprefix("filters.") == expected.value.detail
    assert caught.value.code == "bad_parameter"


@pytest.mark.parametrize("shape", [Parameters, HistogramParameters, ExportQuery, Filters])
def test_every_reader_documents_every_filter(shape: type[Struct]) -> None:
    assert {one.encode_name for one in structs.fields(shape)} >= set(FILTERS)


def test_an_empty_filter_is_none_and_is_not_stored() -> None:
    filters = convert({"action": "", "actor": "okta"}, Filters)
    assert (filters.given, filters.search) == ({"actor": "okta"}, Search(actor="okta"))
