"""Cursors: they come back as they went, and nothing else is taken."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from quartet_common.core.errors import BadRequestError
from quartet_common.web.cursors import VERSION, cursor_key, decode_cursor, encode_cursor

KIND: type[tuple[datetime, int]] = tuple[datetime, int]
POSITION = (datetime(2026, 1, 31, 9, 0, 0, 123456, tzinfo=UTC), 42)
KEY = cursor_key("secret")
CONTEXT = ["audit.events", "default", "desc"]


@given(
    some.datetimes(timezones=some.just(UTC)),
    some.integers(min_value=-1, max_value=2**63 - 1),
    some.lists(some.text(some.characters(exclude_categories=["Cs"]))),
)
def test_a_position_comes_back_as_it_went(time: datetime, number: int, context: list[str]) -> None:
    assert decode_cursor(encode_cursor((time, number), context, KEY), context, KIND, KEY) == (time, number)


def test_a_cursor_is_safe_in_a_url() -> None:
    text = encode_cursor(POSITION, CONTEXT, KEY)
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("context", [["audit.events", "another", "desc"], ["audit.events", "defaultdesc"], []])
def test_a_cursor_of_another_question_is_refused(context: list[str]) -> None:
    with pytest.raises(BadRequestError):
        decode_cursor(encode_cursor(POSITION, CONTEXT, KEY), context, KIND, KEY)


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    text = encode_cursor(POSITION, CONTEXT, KEY)
    for index, old in enumerate(text):
        for new in "A_9":
            if new != old:
                with pytest.raises(BadRequestError):
                    decode_cursor(text[:index] + new + text[index + 1 :], CONTEXT, KIND, KEY)


def test_a_cursor_that_is_cut_or_longer_is_refused() -> None:
    text = encode_cursor(POSITION, CONTEXT, KEY)
    for other in (*(text[:index] for index in range(len(text))), text + "A", text + "=", text + " ", text * 100):
        with pytest.raises(BadRequestError):
            decode_cursor(other, CONTEXT, KIND, KEY)


@given(some.text(max_size=60))
def test_what_is_no_cursor_is_refused_with_400(text: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        decode_cursor(text, CONTEXT, KIND, KEY)
    assert (caught.value.status, caught.value.code) == (400, "bad_cursor")


def test_a_cursor_whose_position_is_of_another_kind_is_refused() -> None:
    with pytest.raises(BadRequestError):
        decode_cursor(encode_cursor("name", CONTEXT, KEY), CONTEXT, KIND, KEY)


def test_a_cursor_that_was_made_without_the_key_is_refused() -> None:
    payload = msgspec.msgpack.encode((POSITION[0], 2**63 - 1))
    unkeyed = blake2b(msgspec.msgpack.encode([*CONTEXT, payload]), digest_size=16).digest()
    forged = urlsafe_b64encode(VERSION + unkeyed + payload).rstrip(b"=").decode()
    for text in (forged, encode_cursor(POSITION, CONTEXT, cursor_key("another secret"))):
        with pytest.raises(BadRequestError) as caught:
            decode_cursor(text, CONTEXT, KIND, KEY)
        assert "start again without it" in caught.value.detail


def test_the_key_is_the_same_for_the_same_secret_and_is_not_the_secret() -> None:
    assert cursor_key("secret") == KEY != cursor_key("secret ")
    assert b"secret" not in KEY
