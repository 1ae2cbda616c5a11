"""The state directory: checkpoints and keys that a verifier has seen, one file each, which never change."""

import os
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.notes import MAX_NOTE, Checkpoint, VerifierKey, parse_checkpoint, parse_vkey

CHECKPOINT_SUFFIX: Final = ".checkpoint"
KEY_SUFFIX: Final = ".vkey"


class StateError(Exception):
    """The state directory, or a file in it, cannot be read or written."""


def default_directory() -> Path:
    """The place in the user's data directory: `XDG_DATA_HOME` (XDG Base Directory), or that of the system."""
    if given := os.environ.get("XDG_DATA_HOME"):
        return Path(given) / "quartet-audit-verifier"
    system = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
    return Path.home() / system / "quartet-audit-verifier"


@dataclass(frozen=True)
class State:
    """What was seen of each log, in a folder for each origin; None as `directory` keeps nothing.

    A file is written under another name, flushed to the disk and renamed: a reader sees all of it or nothing.
    """

    directory: Path | None

    def checkpoints(self, origin: str) -> list[Checkpoint]:
        """The saved checkpoints of a log in the order of their sizes. Raises StateError."""
        found = [self._checkpoint(path, origin) for path in self._files(origin, CHECKPOINT_SUFFIX)]
        return sorted(found, key=lambda checkpoint: checkpoint.size)

    def keys(self, origin: str) -> list[VerifierKey]:
        """The saved keys of a log. Raises StateError."""
        return [self._key(path) for path in self._files(origin, KEY_SUFFIX)]

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint, unless one of this size and root is there. Raises StateError."""
        name = f"{checkpoint.size:019}-{checkpoint.root.hex()[:16]}{CHECKPOINT_SUFFIX}"
        self._write(checkpoint.origin, name, checkpoint.note)

    def save_key(self, origin: str, key: VerifierKey) -> None:
        """Save a key of a log, unless it is there. Raises StateError."""
        name = f"{key.key_id.hex()}-{sha256(key.text.encode()).hexdigest()[:16]}{KEY_SUFFIX}"
        self._write(origin, name, f"{key.text}\n")

    def _folder(self, directory: Path, origin: str) -> Path:
        digest = sha256(origin.encode()).hexdigest()[:16]
        return directory / f"{quote(origin, safe='')[:100]}-{digest}"

    def _files(self, origin: str, suffix: str) -> list[Path]:
        if self.directory is None:
            return []
        folder = self._folder(self.directory, origin)
        try:
            return sorted(path for path in folder.iterdir() if path.suffix == suffix)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateError(f"Cannot read {folder}: {error.strerror}") from error

    def _checkpoint(self, path: Path, origin: str) -> Checkpoint:
        checkpoint = read_checkpoint(path)
        if checkpoint.origin != origin:
            raise StateError(f"{path} has a checkpoint of another log than its folder. Remove it, or restore it.")
        return checkpoint

    def _key(self, path: Path) -> VerifierKey:
        try:
            return parse_vkey(path.read_text(encoding="utf-8").removesuffix("\n"))
        except (OSError, ValueError) as error:
            raise StateError(f"Cannot read the key in {path}: {error}") from error

    def _write(self, origin: str, name: str, text: str) -> None:
        if self.directory is None:
            return
        folder = self._folder(self.directory, origin)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not (folder / name).exists():
                _write_atomically(folder, name, text)
        except OSError as error:
            raise StateError(f"Cannot write to {folder}: {error.strerror}") from error


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises StateError."""
    try:
        if path.stat().st_size > MAX_NOTE:
            raise FormatError(f"the file is larger than {MAX_NOTE} bytes")
        return parse_checkpoint(path.read_bytes().decode())
    except (OSError, ValueError) as error:
        raise StateError(f"Cannot read the checkpoint in {path}: {error}") from error


def _write_atomically(folder: Path, name: str, text: str) -> None:
    with tempfile.NamedTemporaryFile("wb", dir=folder, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            temporary.unlink()
            raise
    temporary.replace(folder / name)
    if sys.platform != "win32":  # a folder cannot be opened there
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
