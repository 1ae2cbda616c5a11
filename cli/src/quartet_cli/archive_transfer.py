"""Archives over HTTP: downloads the lines of each service into files, and sends them to another deployment in parts."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quartet_cli import api_client
from quartet_cli.api import Api
from quartet_cli.api_client import Document
from quartet_cli.archive_file import ORDER, Manifest, Part, read_parts
from quartet_cli.errors import QuartetError

if TYPE_CHECKING:
    import httpx

DOWNLOADED: Final = ("users", "groups", "audit", "metrics")
"""The order of downloads: the log is read after what it tells of, and the counts after the log."""
LINE: Final = re.compile(rb'\{"kind":"([a-z_]{1,40})","data":(.*)\}\n', re.DOTALL)
END: Final = re.compile(rb'\{"kind":"end","count":([0-9]+)\}\n')
BODY: Final = 1024 * 1024
"""Bytes of the lines that one request restores, unless one line is larger."""
TIMEOUT: Final = 120
ATTEMPTS: Final = 8
BUSY: Final = (429, 502, 503, 504)
MAX_PAUSE: Final = 30.0
NDJSON: Final = "application/x-ndjson"


@dataclass
class _Written:
    """A part that is being written."""

    name: str
    count: int = 0
    bytes: int = 0
    digest: Any = field(default_factory=sha256)


def download(api: Api, tenant: str, folder: Path) -> Manifest:
    """Write the parts of a tenant's archive into `folder`. Raises QuartetError."""
    parts = {service: _download_service(api, tenant, service, folder) for service in DOWNLOADED}
    ordered = tuple(part for service in ORDER for part in parts[service])
    return Manifest(tenant, datetime.now(UTC).isoformat(timespec="seconds"), ordered)


def _download_service(api: Api, tenant: str, service: str, folder: Path) -> list[Part]:
    import httpx  # see api_client

    (folder / service).mkdir()
    try:
        with api.stream(f"/{service}/data/archive", {"tenant": tenant}, {}) as answer:
            if answer.status_code != 200:
                answer.read()
                raise api_client.error_of(answer.status_code, answer.json())
            return _write_parts(_lines(answer), service, folder)
    except (httpx.HTTPError, ValueError) as error:
        raise QuartetError(f"The archive of {service} was interrupted: {error}. Try again.") from error


def _lines(answer: "httpx.Response") -> Iterator[bytes]:
    rest = b""
    for piece in answer.iter_bytes():
        *complete, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in complete)
    if rest:
        yield rest


def _write_parts(lines: Iterator[bytes], service: str, folder: Path) -> list[Part]:
    """Write each kind of line into its file. Raises QuartetError if the end is missing."""
    written: list[_Written] = []
    target = None
    try:
        for line in lines:
            if (end := END.fullmatch(line)) is not None:
                if int(end[1]) != sum(one.count for one in written):
                    raise QuartetError(f"The archive of {service} lacks lines. Try again.")
                return [Part(one.name, one.count, one.bytes, one.digest.hexdigest()) for one in written]
            if (match := LINE.fullmatch(line)) is None:
                raise QuartetError(f"{service} sent a line that is not one of an archive: {line[:80]!r}")
            name, data = f"{service}/{match[1].decode()}.ndjson", match[2] + b"\n"
            if not written or written[-1].name != name or target is None:
                if target is not None:
                    target.close()
                written.append(_Written(name))
                target = (folder / name).open("xb")
            target.write(data)
            part = written[-1]
            part.digest.update(data)
            part.count, part.bytes = part.count + 1, part.bytes + len(data)
    finally:
        if target is not None:
            target.close()
    raise QuartetError(f"The archive of {service} was interrupted. Try again.")


@dataclass(frozen=True)
class Restorer:
    """Restores an archive that was verified, in another deployment."""

    api: Api
    file: Path
    manifest: Manifest

    def reserve(self) -> None:
        """Check that each service takes the archive. Raises QuartetError if one has the tenant already."""
        for service in ORDER:
            self._send(service, 0, b"")

    def restore(self, service: str) -> int:
        """Send the lines of a service, from where an interrupted restore has stopped; how many there are."""
        position, is_complete = 0, False
        while not is_complete:
            for start, body in self._bodies(service, position):
                answer = self._send(service, start, body)
                position, is_complete = answer["position"], answer["is_complete"]
                if is_complete or position != start + body.count(b"\n"):
                    break  # done, or it was interrupted: go on from there
        return position

    def _bodies(self, service: str, position: int) -> Iterator[tuple[int, bytes]]:
        """Position and lines of each request, from the line `position` on."""
        start, body, number = position, bytearray(), 0
        for number, line in enumerate(self._lines(service)):
            if number < position:
                continue
            if body and len(body) + len(line) > BODY:
                yield start, bytes(body)
                start, body = number, bytearray()
            body += line
        if body:
            yield start, bytes(body)
        total = sum(part.count for part in self.manifest.parts if part.service == service)
        yield total, b'{"kind":"end","count":%d}\n' % total

    def _lines(self, service: str) -> Iterator[bytes]:
        for kind, content in read_parts(self.file, service):
            for data in content:
                yield b'{"kind":"%b","data":%b}\n' % (kind.encode(), data.rstrip(b"\n"))

    def _send(self, service: str, position: int, body: bytes) -> Document:
        """The answer to a part, which is sent again while the service is busy or does not answer."""
        query = {"tenant": self.manifest.tenant, "archive": self.manifest.digest, "position": str(position)}
        options = {"params": query, "content": body, "headers": {"Content-Type": NDJSON}, "timeout": TIMEOUT}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, answer = self.api.send("POST", f"/{service}/data/restore", **options)
            except QuartetError as error:
                if attempt == ATTEMPTS:
                    raise QuartetError(f"{error} Repeat the restore to continue.") from error
                status, answer = 503, {}
            if status == 200:
                return answer
            if status not in BUSY or attempt == ATTEMPTS:
                raise api_client.error_of(status, answer)
            time.sleep(min(float(answer.get(api_client.RETRY, attempt)), MAX_PAUSE))
        raise AssertionError("the last attempt returns or raises")
