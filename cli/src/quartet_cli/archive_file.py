"""The file of an archive: a tar with a manifest, and a part of NDJSON for each service and kind of line."""

import gzip
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from quartet_cli.errors import QuartetError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHECKSUM: Final = "manifest.sha256"
ORDER: Final = ("metrics", "audit", "groups", "users")
"""The order of the restore: counts before the log that has more events, and the tenant itself, with users, last."""
MAX_MANIFEST: Final = 1024 * 1024
PIECE: Final = 1024 * 1024
DAMAGES: Final = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)


class ArchiveError(QuartetError):
    """The file is no archive, or damaged."""


@dataclass(frozen=True)
class Part:
    """The lines of one kind of one service; `name` is that of the file in the tar."""

    name: str
    count: int
    bytes: int
    sha256: str

    @property
    def service(self) -> str:
        """The service that restores it."""
        return self.name.partition("/")[0]

    @property
    def kind(self) -> str:
        """The kind of its lines."""
        return self.name.partition("/")[2].removesuffix(".ndjson")


@dataclass(frozen=True)
class Manifest:
    """What an archive has; `digest` is the SHA-256 of the manifest itself, by which a restore is known."""

    tenant: str
    created: str
    parts: tuple[Part, ...]
    digest: str = ""

    def encode(self) -> bytes:
        """The bytes of the file."""
        parts = [asdict(part) for part in self.parts]
        document = {"format": FORMAT, "tenant": self.tenant, "created": self.created, "parts": parts}
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> "Manifest":
        """The manifest. Raises ArchiveError."""
        try:
            document = json.loads(content)
            if document["format"] != FORMAT:
                raise ArchiveError(
                    f"The archive has the format {document['format']}, and this release reads {FORMAT}: use the "
                    "release that has made it."
                )
            parts = tuple(Part(**part) for part in document["parts"])
            return cls(document["tenant"], document["created"], parts, sha256(content).hexdigest())
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{MANIFEST} is not the manifest of an archive: {error!r}") from error


def write_archive(file: Path, manifest: Manifest, folder: Path) -> None:
    """Write the archive of the parts in `folder`, readable by its owner only; compressed if the name ends in gz.

    Raises ArchiveError if the file exists.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.touch(0o600)
    is_compressed = file.suffix in (".gz", ".tgz")
    with tarfile.open(unfinished, "w:gz") if is_compressed else tarfile.open(unfinished, "w") as tar:
        content = manifest.encode()
        for name, text in ((MANIFEST, content), (CHECKSUM, f"{sha256(content).hexdigest()}\n".encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text))
        for part in manifest.parts:
            entry = tarfile.TarInfo(part.name)
            entry.size = part.bytes
            with (folder / part.name).open("rb") as source:
                tar.addfile(entry, source)
    try:
        os.link(unfinished, file)
    except FileExistsError:
        raise ArchiveError(f"{file} exists. Choose another name, or remove it.") from None
    finally:
        unfinished.unlink()


def verify_archive(file: Path) -> Manifest:
    """The manifest of an archive whose parts are all as it says. Raises ArchiveError, which names the wrong part."""
    with _tar(file) as tar:
        manifest = _read_manifest(tar)
        for part in manifest.parts:
            with _damage(part.name):
                _verify_part(part, _member(tar, part.name))
        with _damage("the end"):
            if (more := tar.next()) is not None:
                raise ArchiveError(f"{more.name} is not in {MANIFEST}.")
    return manifest


def read_parts(file: Path, service: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The kind and the content of each part of a service, in order; each is read before the next one."""
    with _tar(file) as tar:
        for part in _read_manifest(tar).parts:
            content = _member(tar, part.name)
            if part.service == service:
                yield part.kind, content


def _verify_part(part: Part, content: IO[bytes]) -> None:
    digest, size, count = sha256(), 0, 0
    while piece := content.read(PIECE):
        digest.update(piece)
        size, count = size + len(piece), count + piece.count(b"\n")
    if (digest.hexdigest(), size, count) != (part.sha256, part.bytes, part.count):
        raise ArchiveError(
            f"{part.name} is damaged: it has {count} lines, {size} bytes and the SHA-256 {digest.hexdigest()}; "
            f"{MANIFEST} says {part.count} lines, {part.bytes} bytes and {part.sha256}. Nothing was restored."
        )


def _read_manifest(tar: tarfile.TarFile) -> Manifest:
    with _damage(MANIFEST):
        content = _member(tar, MANIFEST).read(MAX_MANIFEST)
    with _damage(CHECKSUM):
        expected = _member(tar, CHECKSUM).read(MAX_MANIFEST).strip()
    if sha256(content).hexdigest().encode() != expected:
        raise ArchiveError(f"{MANIFEST} is damaged: its SHA-256 is not that of {CHECKSUM}. Nothing was restored.")
    return Manifest.decode(content)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    """The content of the next file, which must have this name. Raises ArchiveError."""
    entry = tar.next()
    content = None if entry is None or entry.name != name or not entry.isreg() else tar.extractfile(entry)
    if content is None:
        raise ArchiveError(f"{name} is missing: the archive has {'an end' if entry is None else entry.name} instead.")
    return content


@contextmanager
def _tar(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:*") as tar:
            yield tar
    except DAMAGES as error:
        raise ArchiveError(f"{file} is not an archive, or damaged: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGES as error:
        raise ArchiveError(f"{name} is damaged: {error}. Nothing was restored.") from error
