"""The file of QUARTET_CHECKPOINT_FILE: the last checkpoint of the deployment log, kept outside of the database."""

import os
from pathlib import Path

from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.note_domain import MalformedNoteError, SignedNote


class CheckpointFileError(Exception):
    """The file cannot be read or written, or has no checkpoint."""


def read_checkpoint_file(path: Path) -> Checkpoint | None:
    """The checkpoint in the file; None if there is no file yet. Raises CheckpointFileError."""
    try:
        return Checkpoint.decode(SignedNote.decode(path.read_text()).text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, MalformedNoteError) as error:
        raise CheckpointFileError(f"QUARTET_CHECKPOINT_FILE {path} has no checkpoint: {error}") from error


def write_checkpoint_file(path: Path, note: str) -> None:
    """Replace the file by `note` in one step. Raises CheckpointFileError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(note)
        new.replace(path)
    except OSError as error:
        raise CheckpointFileError(f"QUARTET_CHECKPOINT_FILE {path} cannot be written: {error}") from error
