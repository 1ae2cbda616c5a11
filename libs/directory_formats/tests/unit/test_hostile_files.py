"""Hostile files: endless lines, cells and documents are refused in little memory and in linear time."""

import io
import time
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from quartet_directory_formats import FormatError, LineError, Options, Record, Result, parse

MEGABYTE = 1024 * 1024
OPTIONS = Options(encoding="utf-8")
GOOD = {
    "ndjson": b'{"userName": "ada"}',
    "csv": b"ada",
    "ldif": b"dn: uid=ada\nobjectClass: person\nuid: ada\n",
}
HEAD = {"ndjson": b"", "csv": b"username\n", "ldif": b""}


class Endless:
    """A file of pieces that are made as they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def read(format_name: str, *pieces: bytes) -> tuple[list[Result], float]:
    """The results, and the most megabytes that reading used."""
    tracemalloc.start()
    try:
        results = list(parse(format_name, lambda: Endless(iter(pieces)), OPTIONS))
        return results, tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format_name", ["ndjson", "csv", "ldif"])
@pytest.mark.parametrize("piece", [b"x", b"[", b'{"a":', b"\x00", b"\xff"])
def test_an_endless_line_is_one_error(format_name: str, piece: bytes) -> None:
    end = b"\n\n" + GOOD[format_name] + b"\n"
    results, megabytes = read(format_name, HEAD[format_name], *repeat(piece * (MEGABYTE // len(piece)), 20), end)
    assert [type(one) for one in results] == [LineError, Record]
    assert megabytes < 64


@pytest.mark.parametrize(
    ("format_name", "start", "piece"),
    [
        ("csv", b'username\nada,"', b"a line\n"),
        ("csv", b"username\n", b'a","b\n'),
        ("csv", b"username\n", b'"\n"\n,'),
        ("csv", b"username\n", b'"'),
        ("ldif", b"dn: uid=ada\nsn:", b" folded\n"),
        ("ldif", b"dn: uid=ada\nobjectClass: person\n", b"a: b\n"),
        ("ldif", b"# comment\n", b" folded\n"),
    ],
)
def test_endless_records_of_many_lines_take_little_memory_and_linear_time(
    format_name: str, start: bytes, piece: bytes
) -> None:
    def read_all(count: int) -> float:
        """The CPU seconds that reading takes."""
        begun = time.process_time()
        for _ in parse(format_name, lambda: Endless(chain([start], repeat(piece * 1000, count))), OPTIONS):
            pass
        return time.process_time() - begun

    assert read_all(40) < 8 * read_all(10) + 0.5
    tracemalloc.start()
    read_all(30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b'"', b"x" * MEGABYTE),
        (b"", b"[" * MEGABYTE),
        (b"", b'{"a":' * 200_000),
        (b"", b"1" * MEGABYTE),
        (b"[[]", b",[]" * 200_000),
        (b'{"username":"', b"x" * MEGABYTE),
        (b'{"a": 1', b', "a": "' + b"x" * (MEGABYTE - 100) + b'"'),
    ],
)
def test_an_endless_document_ends_with_an_error(start: bytes, piece: bytes) -> None:
    results, megabytes = read("keycloak", b'{"users": [{"username": "ada"}, ', start, *repeat(piece, 20))
    user, error = results
    assert isinstance(user, Record)
    assert isinstance(error, LineError)
    assert (error.line, error.ends) == (2, True)
    assert megabytes < 60
    with pytest.raises(FormatError):
        read("keycloak", b'{"x": ', start, *repeat(piece, 2))


def test_deep_values_are_refused() -> None:
    deep = b'{"userName": ' + b"[" * 40 + b"]" * 40 + b"}"
    [error], _ = read("ndjson", deep)
    assert error == LineError(1, "The record has more than 32 levels.")
    [error, user], _ = read("keycloak", b'{"users": [{"username": "a", "x": ' + deep + b'}, {"username": "ada"}]}')
    assert isinstance(error, LineError)
    assert isinstance(user, Record)


def test_many_small_values_are_refused() -> None:
    members = b",".join([b"{}"] * 300_000)
    [error], megabytes = read("ndjson", b'{"displayName": "Staff", "members": [' + members + b"]}")
    assert isinstance(error, LineError)
    assert error.reason == "The record has more than 400000 values."
    assert megabytes < 20


def test_a_large_file_takes_constant_memory() -> None:
    lines = b'{"userName": "ada", "displayName": "Ada Lovelace"}\n' * 1000
    tracemalloc.start()
    try:
        results = parse("ndjson", lambda: Endless(repeat(lines, 20)))
        assert sum(isinstance(one, Record) for one in results) == 20_000
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_value_is_shown_in_200_printable_characters() -> None:
    [error] = list(parse("ndjson", lambda: io.BytesIO(b"\x1b[31m" + b"x" * 1000 + b"\xe2\x80\xae")))
    assert isinstance(error, LineError)
    assert len(error.value) == 200
    assert error.value.startswith("\\x1b[31mxxx")
