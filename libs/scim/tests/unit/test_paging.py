"""Paging: startIndex and count with their odd values (RFC 7644 3.4.2.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.paging import Page, parse_page


@pytest.mark.parametrize(
    ("start_index", "count", "page"),
    [
        (None, None, Page(1, 100)),
        ("1", "10", Page(1, 10)),
        ("0", None, Page(1, 100)),
        ("-5", "-1", Page(1, 0)),
        ("201", "0", Page(201, 0)),
        (None, "200", Page(1, 200)),
        (None, "201", Page(1, 200)),
        ("999999999999999999", "007", Page(999_999_999_999_999_999, 7)),
    ],
)
def test_a_page_is_read_as_the_rfc_says(start_index: str | None, count: str | None, page: Page) -> None:
    assert parse_page(start_index, count) == page


@pytest.mark.parametrize("text", ["", " ", "one", "1.0", "1e3", "+1", " 1", "1\n", "1_0", "٣", "9" * 19, "9" * 5_000])
@pytest.mark.parametrize("name", ["startIndex", "count"])
def test_what_is_no_whole_number_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ScimError, match=f"{name} must be a whole number") as caught:
        parse_page(*((text, None) if name == "startIndex" else (None, text)))
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")


def test_the_default_and_the_maximum_can_be_set() -> None:
    assert parse_page(None, None, default=20, maximum=50) == Page(1, 20)
    assert parse_page(None, "51", default=20, maximum=50) == Page(1, 50)
    assert parse_page(None, None, default=100, maximum=50) == Page(1, 50)


@given(st.integers(-(10**17), 10**17), st.integers(-(10**17), 10**17))
def test_every_page_is_one_that_a_database_can_answer(start_index: int, count: int) -> None:
    page = parse_page(str(start_index), str(count))
    assert 0 <= page.offset < 2**63
    assert 0 <= page.count <= 200
