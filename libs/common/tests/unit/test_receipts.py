"""Receipts: ids of events by tenant as bytes."""

from uuid import uuid4

import pytest

from quartet_common.messaging.receipts import decode_ids, encode_ids


def test_ids_are_read_as_they_were_written_16_bytes_each() -> None:
    ids = {"acme": [uuid4() for _ in range(3)], "other": [uuid4()]}
    assert decode_ids(encode_ids(ids)) == ids
    assert len(encode_ids({"a": [uuid4() for _ in range(1000)]})) < 16_010


@pytest.mark.parametrize("body", [b"", b"\x81\xa1a\xc4\x03abc", b"[]"])
def test_what_is_no_map_of_ids_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_ids(body)
