"""The webhook of checkpoints: it gets the last one, is tried again, and delays no signature."""

import copy
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.witnesses.checkpoint_webhook import CheckpointWebhook
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets, and answers `status`, as soon as `goes_on` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.notes = 204, list[str]()
        self.goes_on = threading.Event()
        self.goes_on.set()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.goes_on.wait(10)
        self.server.notes.append(f"{self.path} {self.headers['Content-Type']} {body}")
        self.send_response(self.server.status)
        self.send_header("Location", self.path)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.goes_on.set()
        server.shutdown()


@pytest.fixture
def webhook(audit: "Audit", receiver: Receiver) -> CheckpointWebhook:
    """Posts to the receiver when a test runs it."""
    container = copy.copy(audit.container)
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook?a=1"
    container.config = audit.container.config.model_copy(update={"checkpoint_webhook": url})
    return CheckpointWebhook(container)


async def sign(audit: "Audit", make_event: "MakeEvent") -> str:
    """Append an entry, and sign; returns the checkpoint of the deployment log."""
    await audit.record([make_event(tenant=new_tenant())])
    await CheckpointSigner(audit.container).run()
    async with audit.container.database.connection() as connection:
        return str(await connection.fetchval("SELECT note FROM checkpoints WHERE tenant_id = ''"))


async def test_each_new_checkpoint_is_posted_once_as_it_was_signed(
    audit: "Audit", make_event: "MakeEvent", receiver: Receiver, webhook: CheckpointWebhook
) -> None:
    first = await sign(audit, make_event)
    await webhook.run()
    await webhook.run()
    second = await sign(audit, make_event)
    await webhook.run()
    assert receiver.notes == [f"/hook?a=1 text/plain; charset=utf-8 {note}" for note in (first, second)]


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_a_receiver_that_refuses_is_tried_again_later_with_the_checkpoint_of_then(
    audit: "Audit",
    make_event: "MakeEvent",
    receiver: Receiver,
    webhook: CheckpointWebhook,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    first = await sign(audit, make_event)
    receiver.status = status
    await webhook.run()
    await webhook.run()
    assert [note.endswith(first) for note in receiver.notes] == [True], "and not at once again"
    last = await sign(audit, make_event)
    receiver.status = 200
    now = time.monotonic()
    monkeypatch.setattr("quartet_audit.witnesses.checkpoint_webhook.time.monotonic", lambda: now + 1.1)
    await webhook.run()
    await webhook.run()
    assert [note.endswith(last) for note in receiver.notes] == [False, True]


async def test_a_receiver_that_hangs_or_is_down_ends_after_the_time_limit_and_delays_no_signature(
    audit: "Audit",
    make_event: "MakeEvent",
    receiver: Receiver,
    webhook: CheckpointWebhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quartet_audit.witnesses.checkpoint_webhook.TIMEOUT", 0.2)
    await sign(audit, make_event)
    receiver.goes_on.clear()
    await webhook.run()
    assert webhook._failures == 1
    receiver.goes_on.set()
    receiver.server_close()
    before = await sign(audit, make_event)
    assert before != await sign(audit, make_event)
