"""Pages by index, and the numbers of a query."""

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.paging import Page, whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-5", -5), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert whole_number("count", text) == number


@pytest.mark.parametrize("text", ["", " ", "one", "1.0", "1e3", "+1", " 1", "1\n", "1_0", "٣", "9" * 19, "9" * 5_000])
def test_what_is_no_whole_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ScimError, match="startIndex must be a whole number") as caught:
        whole_number("startIndex", text)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")


def test_an_index_counts_from_one_and_an_offset_from_zero() -> None:
    assert Page(1, 10).offset == 0
    assert Page(201, 10).offset == 200
