"""Witnesses: the request for a cosignature and what its answer means (C2SP tlog-witness, "add-checkpoint")."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from quartet_audit.checkpoints.checkpoint_domain import TIMESTAMP_BYTES, is_signed
from quartet_audit.note_domain import (
    MalformedNoteError,
    NoteSignature,
    SignedNote,
    VerifierKey,
    decode_signatures,
    encode_base64,
    known_signatures,
)

LAG = timedelta(seconds=10)
"""For how long a checkpoint with cosignatures is served instead of newer ones without."""
SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n")


def add_checkpoint_body(old: int, hashes: Sequence[bytes], note: str) -> bytes:
    """The body that submits the checkpoint in `note`; `hashes` prove that it extends the tree of `old` leaves."""
    lines = [f"old {old}", *(encode_base64(one) for one in hashes), ""]
    return ("".join(f"{line}\n" for line in lines) + note).encode()


def read_known_size(body: bytes) -> int | None:
    """The size of the last checkpoint that a witness knows, from the body of a 409; None if it has another form."""
    match = SIZE.fullmatch(body.decode("latin-1"))
    return None if match is None else int(match[1])


def read_cosignatures(body: bytes, note: str, key: VerifierKey) -> list[NoteSignature]:
    """The cosignatures by `key` in the body of a 200; those of other keys are ignored.

    Raises MalformedNoteError for another form, no cosignature, one without a time, or one that is not valid.
    """
    try:
        found = known_signatures(decode_signatures(body.decode()), [key])
    except UnicodeDecodeError as error:
        raise MalformedNoteError("the answer is not UTF-8") from error
    cosigned = SignedNote.decode(note)
    for signature, _ in found:
        if not any(signature.signature[:TIMESTAMP_BYTES]) or not is_signed(cosigned, signature, key):
            raise MalformedNoteError(f"the cosignature by {key.name} is not valid")
    if not found:
        raise MalformedNoteError(f"there is no cosignature by {key.name}+{key.id.hex()}")
    return [signature for signature, _ in found]


def with_cosignatures(note: str, added: Iterable[NoteSignature]) -> str:
    """`note` with more signature lines; a newer one replaces that of the same key."""
    known = SignedNote.decode(note)
    merged = {(one.name, one.key_id): one for one in (*known.signatures, *added)}
    return SignedNote(known.text, tuple(merged.values())).encode()


def is_served(cosigned_size: int, cosigned_at: datetime, size: int, signed_at: datetime, now: datetime) -> bool:
    """Whether a cosigned checkpoint is served instead of the last one, which has `size` leaves.

    The age at `now` counts: where nothing is signed any more, the last checkpoint must be served at some time too.
    """
    return cosigned_size <= size and (cosigned_at == signed_at or now - cosigned_at <= LAG)
