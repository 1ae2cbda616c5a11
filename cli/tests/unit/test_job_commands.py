"""Imports and exports on the command line: what is sent, how a job is followed, and what is said of it."""

from pathlib import Path
from typing import Any, cast

import pytest
import typer

from quartet_cli import job_commands
from quartet_cli.api import Api
from quartet_cli.api_client import Document
from quartet_cli.job_commands import (
    Upload,
    follow,
    format_of,
    make,
    matches,
    progress,
    read_mapping,
    state_of,
    summary,
    with_part,
)

JOB: Document = {
    "id": "j1", "state": "running", "ended_at": None, "progress": 0.5, "rate": 1234.5, "remaining": 7.2, "error": None,
    "done": 100, "skipped": 20, "failed": 3,
}  # fmt: skip


class FakeApi:
    """Answers requests in the given order, and notes them."""

    def __init__(self, *answers: Document | type[BaseException]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(self, method: str, path: str, **options: Any) -> Document:
        self.asked.append((method, path, options))
        found = self.answers.pop(0)
        if isinstance(found, dict):
            return found
        raise found

    def send(self, method: str, path: str, **options: Any) -> tuple[int, Document]:
        return 200, self.ask(method, path, **options)


def test_a_file_is_sent_in_pieces_with_its_size_and_can_be_sent_again(tmp_path: Path) -> None:
    file, shown = tmp_path / "people.csv", list[float]()
    file.write_bytes(b"x" * (job_commands.PIECE + 1))
    upload = Upload(file, lambda _, part: shown.append(part))
    assert [len(piece) for piece in upload] == [len(piece) for piece in upload] == [job_commands.PIECE, 1]
    assert shown[1] == shown[3] == 1.0
    api = FakeApi(JOB)
    assert make(cast(Api, api), "users", {"kind": "import", "match": None}, upload) == JOB
    [(method, path, options)] = api.asked
    assert (method, path, options["params"]) == ("POST", "/users/data/jobs", {"kind": "import"})
    assert options["headers"] == {"Content-Length": str(job_commands.PIECE + 1)}


def test_a_job_is_followed_to_its_end() -> None:
    shown: list[tuple[str, float]] = []
    ended = {**JOB, "state": "completed", "ended_at": "2026-01-31T09:00:00Z", "progress": 1.0}
    api = FakeApi(JOB, ended)
    found = follow(cast(Api, api), "users", JOB, lambda *what: shown.append(what), pause=0)
    assert found == ended
    assert [path for _, path, _ in api.asked] == ["/users/data/jobs/j1"] * 2
    assert shown == [("running: 120 records, 3 failed, 1234/s, 7 s left", 0.5), (state_of(ended), 1.0)]


def test_ctrl_c_cancels_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    api = FakeApi(KeyboardInterrupt, JOB)
    with pytest.raises(KeyboardInterrupt):
        follow(cast(Api, api), "users", JOB, lambda *_: None, pause=0)
    assert [(method, path) for method, path, _ in api.asked][1] == ("POST", "/users/data/jobs/j1/cancel")
    assert "j1 is cancelled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "dry_run", "text"),
    [
        ({"state": "completed"}, False, "100 imported, 20 unchanged, 3 failed"),
        ({"state": "completed"}, True, "100 imported, 20 unchanged, 3 failed (dry run: nothing is changed)"),
        ({"state": "failed", "error": "The file has no header."}, False, "failed: The file has no header."),
        ({"state": "cancelled"}, False, "cancelled: 100 imported, 20 unchanged, 3 failed"),
    ],
)
def test_the_end_of_a_job_is_said_in_a_line(job: Document, dry_run: bool, text: str) -> None:
    assert summary({**JOB, **job}, dry_run=dry_run) == text


@pytest.mark.parametrize(("name", "found"), [("a.CSV", "csv"), ("b.ldif", "ldif"), ("c.jsonl", "ndjson")])
def test_the_end_of_a_name_is_its_format(name: str, found: str) -> None:
    assert format_of(Path(name)) == found


def test_a_name_without_a_known_end_needs_a_format() -> None:
    with pytest.raises(typer.BadParameter, match=r"realm\.json is not known by its name: add --format"):
        format_of(Path("realm.json"))


def test_columns_are_mapped_also_those_with_an_equals_sign() -> None:
    assert read_mapping(["Login=userName", "a=b=title", "Nothing="]) == {
        "Login": "userName",
        "a=b": "title",
        "Nothing": "",
    }
    with pytest.raises(typer.BadParameter, match="COLUMN=ATTRIBUTE, got Login"):
        read_mapping(["Login"])


def test_each_service_is_asked_with_what_it_knows() -> None:
    assert matches("users") == ("userName", "externalId")
    assert matches("groups") == ("displayName", "externalId")
    assert with_part(Path("out/people.csv"), "groups") == Path("out/people.groups.csv")


def test_there_is_no_progress_bar_outside_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("users") as show:
        show("running", 0.5)
    assert capsys.readouterr() == ("", "")
