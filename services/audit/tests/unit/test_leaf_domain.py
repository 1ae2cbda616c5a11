"""The leaf of an entry: its documented bytes (docs/audit-formats.md), read without the code that writes them."""

import struct
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from quartet_audit.leaves.leaf_domain import PARTS, Part, encode_leaf, microseconds

EVENT = UUID("01234567-89ab-7def-8123-456789abcdef")
MOMENT = datetime(2026, 1, 31, 9, 0, 0, 250_000, tzinfo=UTC)


def test_a_leaf_has_the_documented_bytes() -> None:
    facts, actor = Part(b'{"id":"1"}', bytes(range(32))), Part(b"{}", b"\xff" * 32)
    leaf = encode_leaf(41, MOMENT, EVENT, "users.user.created", {"facts": facts, "actor": actor})
    assert leaf == (
        b"\x01"
        + bytes.fromhex("0000000000000029")
        + (1769850000250000).to_bytes(8, "big")
        + bytes.fromhex("0123456789ab7def8123456789abcdef")
        + bytes.fromhex("0012")
        + b"users.user.created"
        + sha256(bytes(range(32)) + b'{"id":"1"}').digest()
        + sha256(b"\xff" * 32 + b"{}").digest()
        + bytes(96)
    )


@given(
    st.integers(0, 2**63 - 1),
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    st.dictionaries(st.sampled_from(PARTS), st.tuples(st.binary(max_size=50), st.binary(min_size=32, max_size=32))),
)
def test_a_leaf_says_what_it_was_made_of(
    sequence: int, time: datetime, event: UUID, action: str, parts: dict[str, tuple[bytes, bytes]]
) -> None:
    leaf = encode_leaf(sequence, time, event, action, {name: Part(*part) for name, part in parts.items()})
    version, read_sequence, read_time = struct.unpack_from(">BQq", leaf)
    length = int.from_bytes(leaf[33:35], "big")
    assert (version, read_sequence) == (1, sequence)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=read_time) == time
    assert leaf[17:33] == event.bytes
    assert leaf[35 : 35 + length].decode() == action
    commitments = leaf[35 + length :]
    assert len(commitments) == 160
    for place, name in enumerate(("facts", "actor", "resource", "source", "changes")):
        content, salt = parts.get(name, (None, b""))
        expected = bytes(32) if content is None else sha256(salt + content).digest()
        assert commitments[32 * place : 32 * place + 32] == expected


def test_times_are_counted_from_1970_in_utc_with_their_sign() -> None:
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert microseconds(MOMENT.astimezone(timezone(timedelta(hours=5)))) == 1_769_850_000_250_000
