"""The log of a running server: its bundle as a stream, its tiles and checkpoints, lost connections, and lies."""

import re
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quartet_audit_verifier import online
from quartet_audit_verifier.client import Server, ServerError
from quartet_audit_verifier.online import verify_server
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.served_log import index_path
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_testing.audit_bundles import Log, b64, encode, tile

TOKEN = "secret"
Answer = tuple[int, bytes, dict[str, str]]


class Operator(ThreadingHTTPServer):
    """Serves a log as docs/audit-formats.md says; a test replaces what it lies about."""

    def __init__(self, log: Log) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log = log
        self.served = log
        """What is served at /audit/log; the bundle is of `log`."""
        self.bundle = encode(log.documents())
        self.lies: dict[str, Callable[[bytes], bytes]] = {}
        self.cuts: list[int] = []
        """Bytes after which the next bundles are cut off."""
        self.refusals: list[Answer] = []
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def older_and_newer_deployment_notes(self) -> tuple[bytes, bytes]:
        """The checkpoint of the deployment log before the bundle's one, and that one; both are signed."""
        newest = self.log.deployment.pop()
        older = self.log.deployment_note().encode()
        self.log.deployment.append(newest)
        return older, self.log.deployment_note().encode()

    def answer(self, path: str) -> Answer:
        if self.refusals:
            return self.refusals.pop(0)
        body = self.body(path)
        lie = self.lies.get(path)
        return (404, b'{"detail": "none"}', {}) if body is None else (200, lie(body) if lie else body, {})

    def body(self, path: str) -> bytes | None:
        if match := re.fullmatch(r"/audit/export\?format=bundle&from=(\d+)", path):
            begin = int(match[1])
            return encode(self.log.documents(begin)) if begin else self.bundle
        served = self.served
        if path == f"/audit/log/{served.tenant}/checkpoint":
            return served.note().encode()
        if path == "/audit/log/checkpoint":
            return served.deployment_note().encode()
        match = re.fullmatch(r"/audit/log(/\w+)?/tile/(\w+)/([x\d/]+)(?:\.p/(\d+))?", path)
        if match is None:
            return None
        own = [entry.leaf for entry in served.entries] if match[1] else served.deployment
        number, width = int(re.sub("[x/]", "", match[3])), int(match[4] or 256)
        if match[2] == "entries":
            leaves = own[number * 256 : number * 256 + width]
            return b"".join(len(leaf).to_bytes(2) + leaf for leaf in leaves)
        hashes = [hash_of(leaf) for leaf in own]
        span = 256 ** int(match[2])
        return (
            b"".join(tile(int(match[2]), number, hashes, width)) if len(own) >= (number * 256 + width) * span else None
        )


def hash_of(leaf: bytes) -> bytes:
    return sha256(b"\0" + leaf).digest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Operator

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        status, body, headers = self.server.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path.startswith("/audit/export") and self.server.cuts:
            self.wfile.write(body[: self.server.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def operator(log: Log) -> Iterator[Operator]:
    with Operator(log) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(operator: Operator, state: Path | None = None, tenant: str = "acme") -> Report:
    return verify_server(Server(operator.url, TOKEN), tenant, Trust(State(state)))


def kinds(report: Report) -> dict[str, int]:
    return {str(kind): count for kind, count in report.findings.counts.items()}


def flip_at(position: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


def test_a_log_is_verified_with_all_tiles_and_entry_bundles_that_are_served(operator: Operator) -> None:
    report = run(operator)
    assert report.is_verified, report.as_text()
    paths = [path for path, _ in operator.requests]
    for number in ("000", "001"):
        assert f"/audit/log/acme/tile/0/{number}" in paths
        assert f"/audit/log/acme/tile/entries/{number}" in paths


def test_a_log_whose_first_leaves_are_pruned_is_verified_by_its_tiles(operator: Operator) -> None:
    log = operator.log.append(1, "audit.retention.applied", ("retention", "300"))
    hashes = log.hashes()
    operator.bundle = encode(
        [
            {"sequence": one["sequence"], "leaf_hash": b64(hashes[one["sequence"]])}
            if one.get("sequence", 300) < 300
            else one
            for one in log.documents()
        ]
    )
    pruned = "/audit/log/acme/tile/entries/000"
    body = operator.body
    operator.body = lambda path: None if path == pruned else body(path)  # type: ignore[method-assign]
    report = run(operator)
    assert report.is_verified, report.as_text()
    paths = [path for path, _ in operator.requests]
    assert pruned not in paths
    assert "/audit/log/acme/tile/0/000" in paths
    operator.lies["/audit/log/acme/tile/0/000"] = flip_at(70)
    assert kinds(run(operator)) == {"served": 1}


def test_the_token_goes_with_the_tenants_log_only(operator: Operator) -> None:
    run(operator)
    for path, token in operator.requests:
        is_public = path.startswith(("/audit/log/checkpoint", "/audit/log/tile"))
        assert token == (None if is_public else f"Bearer {TOKEN}"), path


def test_a_log_that_grows_meanwhile_is_a_continuation(operator: Operator, log: Log) -> None:
    log.append(700)
    log.deploy(log.note())
    report = run(operator)
    assert report.is_verified, report.as_text()
    assert report.facts["size"] == 600


@pytest.mark.parametrize("path", ["tile/0/001", "tile/entries/001"])
def test_another_tile_or_entry_than_in_the_bundle_is_found(operator: Operator, path: str) -> None:
    operator.lies[f"/audit/log/acme/{path}"] = flip_at(100)
    report = run(operator)
    assert kinds(report) == {"served": 1}
    assert "another hash of entry" in report.as_text()


@pytest.mark.parametrize("path", ["tile/0/001", "tile/entries/001", "checkpoint"])
@pytest.mark.parametrize("body", [b"", b"x", b"\xff" * 100])
def test_what_cannot_be_read_is_found(operator: Operator, path: str, body: bytes) -> None:
    operator.lies[f"/audit/log/acme/{path}"] = lambda _: body
    assert set(kinds(run(operator))) == {"served"}


def test_a_checkpoint_of_another_history_than_the_bundle_is_a_fork(operator: Operator) -> None:
    other = Log().append(600)
    other.entries[20].parts["changes"] = other.part({"data": {}})
    other.entries[20].seal()
    other.deployment = operator.log.deployment
    operator.served = other
    report = run(operator)
    assert report.findings.has("fork")
    assert "two histories" in report.as_text()


def test_a_larger_checkpoint_of_another_history_is_found(operator: Operator) -> None:
    other = Log().append(600)
    other.entries[590].parts["changes"] = other.part({"data": {}})
    other.entries[590].seal()
    other.append(40)
    other.deployment = operator.log.deployment
    operator.served = other
    assert kinds(run(operator)) == {"rewritten": 1}


def test_an_older_checkpoint_than_the_bundle_is_found(operator: Operator) -> None:
    operator.lies["/audit/log/acme/checkpoint"] = lambda _: operator.log.note(590).encode()
    assert kinds(run(operator)) == {"rolled_back": 1}


def test_a_rewritten_deployment_log_is_found_by_its_saved_checkpoint(operator: Operator, tmp_path: Path) -> None:
    assert run(operator, tmp_path).is_verified
    log = operator.log
    log.deployment[0] = log.deployment[0][:-1] + b"x"
    operator.bundle = encode(log.append(1).documents())
    assert kinds(run(operator, tmp_path)) == {"rewritten": 1}


@pytest.mark.parametrize("lag", [1, 5, online.READS - 1])
def test_a_checkpoint_with_cosignatures_may_be_served_for_a_while_after_a_newer_one_in_the_bundle(
    operator: Operator, lag: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older, newer = operator.older_and_newer_deployment_notes()
    served = [*[older] * lag, newer]
    pauses: list[float] = []
    monkeypatch.setattr("quartet_audit_verifier.online.time.sleep", pauses.append)
    operator.lies["/audit/log/checkpoint"] = lambda _: served.pop(0)
    report = run(operator, tmp_path)
    assert report.is_verified, report.as_text()
    assert pauses == [online.PAUSE] * lag
    served = [older, newer]
    report = run(operator, tmp_path)
    assert report.is_verified, report.as_text()


def test_an_older_checkpoint_of_the_deployment_log_that_stays_is_found(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, _ = operator.older_and_newer_deployment_notes()
    pauses: list[float] = []
    monkeypatch.setattr("quartet_audit_verifier.online.time.sleep", pauses.append)
    operator.lies["/audit/log/checkpoint"] = lambda _: older
    assert kinds(run(operator)) == {"rolled_back": 1}
    assert len(pauses) == online.READS - 1


def test_a_deployment_log_that_grows_is_a_continuation_of_all_that_was_seen(operator: Operator, tmp_path: Path) -> None:
    log = operator.log
    for _ in range(3):
        assert run(operator, tmp_path).is_verified
        for _ in range(100):
            log.deploy(log.note(5))
        operator.bundle = encode(log.append(1).documents())
    report = run(operator, tmp_path)
    assert report.is_verified, report.as_text()
    assert report.facts["logs"][log.deployment_origin]["seen_checkpoints"]["not_compared"] == 0


@pytest.mark.parametrize("cuts", [[5000], [200_000, 100_000], [0, 10, 700_000]])
def test_a_bundle_is_continued_after_a_lost_connection(operator: Operator, cuts: list[int]) -> None:
    operator.cuts = cuts
    report = run(operator)
    assert report.is_verified, report.as_text()
    assert report.facts["entries"] == 600


def test_a_busy_server_is_asked_again(operator: Operator) -> None:
    operator.refusals = [(503, b"{}", {"Retry-After": "0"})]
    assert run(operator).is_verified


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_an_error_with_the_words_of_the_server(operator: Operator, status: int) -> None:
    operator.refusals = [(status, b'{"detail": "No scope \\u001b[2J."}', {})]
    with pytest.raises(ServerError, match=rf"refused \({status}\)\. No scope \\x1b\[2J") as refused:
        run(operator)
    assert "\x1b" not in str(refused.value)


def test_a_redirect_is_not_followed(operator: Operator) -> None:
    operator.refusals = [(302, b"", {"Location": f"{operator.url}/elsewhere"})]
    with pytest.raises(ServerError, match=r"refused \(302\)"):
        run(operator)
    assert [path for path, _ in operator.requests if "elsewhere" in path] == []


def test_a_log_of_another_tenant_than_asked_for_is_found(operator: Operator) -> None:
    assert run(operator, tenant="globex").findings.has("wrong_log")


@pytest.mark.parametrize("url", ["", "ftp://x", "file:///etc/passwd", "http://", "https://x?y", "http://127.0.0.1:1"])
def test_a_server_that_is_none_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ServerError):
        verify_server(Server(url, TOKEN), "acme", Trust(State(None)))


@pytest.mark.parametrize(("index", "path"), [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_tile_indexes_are_written_as_tlog_tiles_says(index: int, path: str) -> None:
    assert index_path(index) == path
