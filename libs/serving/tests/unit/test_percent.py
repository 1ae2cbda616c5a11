"""Percent-encoding: decoded as the standard library does it, and cheaply whatever is sent."""

import time
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_serving import percent

FORM = 16 * 1024
"""Bytes that services take of a form."""
PIECES = st.lists(st.sampled_from([b"%", b"%4", b"%41", b"%zz", b"%ff", b"%E2%82%AC", b"a", b"+", b"=", b"&", b" "]))


@given(PIECES)
def test_a_form_is_read_as_the_standard_library_reads_it(pieces: list[bytes]) -> None:
    sent = b"".join(pieces)
    assert percent.parse_form(sent) == parse_qsl(sent.decode(), keep_blank_values=True)


@given(PIECES)
def test_a_path_is_read_as_the_standard_library_reads_it(pieces: list[bytes]) -> None:
    sent = b"".join(pieces)
    assert percent.unquote(sent) == unquote(sent.decode())


@pytest.mark.parametrize("piece", [b"%", b"%%41", b"%41", b"a%41", b"%ff", b"%4", b"+"])
def test_a_full_form_costs_a_few_milliseconds_at_most(piece: bytes) -> None:
    sent = piece * (FORM // len(piece))
    costs = []
    for _ in range(5):
        started = time.thread_time()
        percent.parse_form(sent)
        costs.append(time.thread_time() - started)
    assert min(costs) < 0.004, costs
