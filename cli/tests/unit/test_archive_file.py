"""The file of an archive: it is read as it was written, and what is damaged is refused by name."""

import io
import stat
import tarfile
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from quartet_cli.api import Api
from quartet_cli.archive_file import ArchiveError, Manifest, Part, read_parts, verify_archive, write_archive
from quartet_cli.archive_transfer import Restorer, _write_parts
from quartet_cli.errors import QuartetError
from quartet_cli.profiles import Profile

LINES = {
    "metrics/archive.ndjson": b'{"format":1}\n',
    "users/archive.ndjson": b'{"format":1}\n',
    "users/user.ndjson": b"".join(b'{"id":%d}\n' % number for number in range(1000)),
}


def archive(folder: Path, name: str = "acme.tar") -> Path:
    """An archive of LINES."""
    parts = []
    for part, content in LINES.items():
        (folder / part).parent.mkdir(exist_ok=True)
        (folder / part).write_bytes(content)
        parts.append(Part(part, content.count(b"\n"), len(content), sha256(content).hexdigest()))
    write_archive(folder / name, Manifest("acme", "2026-01-31T09:00:00+00:00", tuple(parts)), folder)
    return folder / name


@pytest.mark.parametrize("name", ["acme.tar", "acme.tar.gz"])
def test_an_archive_is_read_as_it_was_written_and_is_private(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path, name)
    manifest = verify_archive(file)
    assert manifest.tenant == "acme"
    assert {part.name: part.count for part in manifest.parts} == {
        part: content.count(b"\n") for part, content in LINES.items()
    }
    found = {kind: content.read() for kind, content in read_parts(file, "users")}
    assert found == {"archive": LINES["users/archive.ndjson"], "user": LINES["users/user.ndjson"]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (file.read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")


@pytest.mark.parametrize(
    ("text", "part"),
    [(b'{"id":500}', "users/user.ndjson is damaged"), (b'"tenant"', "manifest.json is damaged")],
)
def test_one_changed_bit_is_refused_with_the_name_of_its_part(tmp_path: Path, text: bytes, part: str) -> None:
    file = archive(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(text) + 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArchiveError, match=part):
        verify_archive(file)


@pytest.mark.parametrize("name", ["acme.tar", "acme.tar.gz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    file = archive(tmp_path, name)
    content = file.read_bytes()
    used = len(content.rstrip(b"\0"))
    file.write_bytes(content[: int(used * share)])
    with pytest.raises(ArchiveError):
        verify_archive(file)


def rewritten(file: Path, leave_out: str = "", add: str = "") -> Path:
    """A copy of an archive that lacks a file, or has one more."""
    changed = file.with_name("changed.tar")
    with tarfile.open(file) as source, tarfile.open(changed, "w") as target:
        for entry in source:
            if entry.name != leave_out:
                target.addfile(entry, source.extractfile(entry))
        if add:
            more = tarfile.TarInfo(add)
            more.size = 3
            target.addfile(more, io.BytesIO(b"{}\n"))
    return changed


def test_a_missing_part_and_one_that_the_manifest_does_not_have_are_refused(tmp_path: Path) -> None:
    file = archive(tmp_path)
    with pytest.raises(ArchiveError, match=r"users/archive\.ndjson is missing"):
        verify_archive(rewritten(file, leave_out="users/archive.ndjson"))
    with pytest.raises(ArchiveError, match=r"\.\./x is not in manifest\.json"):
        verify_archive(rewritten(file, add="../x"))


def test_a_file_that_is_no_archive_and_another_format_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_text("something else")
    with pytest.raises(ArchiveError, match="is not an archive, or damaged"):
        verify_archive(file)
    with pytest.raises(ArchiveError, match="cannot be read: No such file"):
        verify_archive(tmp_path / "none.tar")
    with pytest.raises(ArchiveError, match="has the format 2, and this release reads 1"):
        Manifest.decode(b'{"format": 2, "tenant": "acme", "created": "", "parts": []}')


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    before = archive(tmp_path).read_bytes()
    with pytest.raises(ArchiveError, match="exists"):
        archive(tmp_path)
    assert (tmp_path / "acme.tar").read_bytes() == before
    assert not [*tmp_path.glob(".*")]


@pytest.mark.parametrize("position", [0, 1, 700, 1001])
def test_a_restore_sends_each_line_from_any_position_on_and_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    monkeypatch.setattr("quartet_cli.archive_transfer.BODY", 5000)
    file = archive(tmp_path)
    restorer = Restorer(Api(Profile("", "")), file, verify_archive(file))
    *bodies, end = restorer._bodies("users", position)
    assert end == (1001, b'{"kind":"end","count":1001}\n')
    lines = [b'{"kind":"archive","data":{"format":1}}\n']
    lines += [b'{"kind":"user","data":{"id":%d}}\n' % number for number in range(1000)]
    assert b"".join(body for _, body in bodies) == b"".join(lines[position:])
    assert all(len(body) <= 5000 for _, body in bodies)
    for (start, body), (following, _) in pairwise([*bodies, end]):
        assert start + body.count(b"\n") == following


def test_lines_are_written_by_kind_with_their_checksums(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    lines = [b'{"kind":"archive","data":{}}\n', b'{"kind":"user","data":{"a":"}\\n"}}\n', b'{"kind":"end","count":2}\n']
    parts = _write_parts(iter(lines), "users", tmp_path)
    assert [(part.name, part.count) for part in parts] == [("users/archive.ndjson", 1), ("users/user.ndjson", 1)]
    assert (tmp_path / "users/user.ndjson").read_bytes() == b'{"a":"}\\n"}\n'


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([b'{"kind":"user","data":{}}\n'], "was interrupted"),
        ([b'{"kind":"user","data":{}}\n', b'{"kind":"end","count":2}\n'], "lacks lines"),
        ([b"<html>\n"], "not one of an archive"),
    ],
)
def test_an_interrupted_download_is_refused(tmp_path: Path, lines: list[bytes], problem: str) -> None:
    (tmp_path / "users").mkdir()
    with pytest.raises(QuartetError, match=problem):
        _write_parts(iter(lines), "users", tmp_path)
