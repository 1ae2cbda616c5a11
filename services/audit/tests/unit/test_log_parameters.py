"""Parameters of logs: paths of tiles as C2SP tlog-tiles defines them, sizes and waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_audit.proofs.log_parameters import TilePath, read_sizes, read_tile_path, read_wait
from quartet_common.web.query_parameters import BadParameterError
from quartet_testing.tlog import tile_path


def test_the_example_of_tlog_tiles_is_read() -> None:
    assert read_tile_path("0/x001/x234/067") == TilePath(0, 1_234_067, 256)
    assert read_tile_path("63/000.p/255") == TilePath(63, 0, 255)
    assert read_tile_path("entries/273.p/112") == TilePath(None, 273, 112)


@given(st.integers(0, 63) | st.none(), st.integers(0, 10**18), st.integers(1, 256))
def test_each_tile_has_one_path(level: int | None, index: int, width: int) -> None:
    path = tile_path("entries" if level is None else level, index, width).removeprefix("tile/")
    assert read_tile_path(path) == TilePath(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "", "0", "0/", "0/0", "0/00", "0/0000", "0/x000/000", "0/x001", "0/001/000", "0/X001/000", "0/x1/000", "64/000",
        "00/000", "-1/000", "1.0/000", "entry/000", "0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/01", "0/000.p/256",
        "0/000.p/1/", "0/000p/1", " 0/000", "0/000\n", "0/x\u0661\u0661\u0661/000",
    ],
)  # fmt: skip
def test_every_other_path_is_none(path: str) -> None:
    assert read_tile_path(path) is None


def test_sizes_and_waits_are_whole_numbers_in_their_ranges() -> None:
    assert read_sizes({"from": ["0"], "to": ["97"]}) == (0, 97)
    assert (read_wait({}), read_wait({"wait": ["10"]})) == (0, 10)
    for wait in ("11", "-1", "1.5", ""):
        with pytest.raises(BadParameterError):
            read_wait({"wait": [wait]})
    for sizes in ({"from": ["1"]}, {"from": ["2"], "to": ["1"]}, {"from": ["1"], "to": [str(1 << 63)]}):
        with pytest.raises(BadParameterError):
            read_sizes(sizes)
