"""The webhook of checkpoints: it gets each one in order, is tried again, and delays no signature."""

import asyncio
import copy
import threading
import time
from collections.abc import AsyncIterator, Iterator
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
async def webhook(audit: "Audit", receiver: Receiver) -> AsyncIterator[CheckpointWebhook]:
    """Posts to the receiver when a test runs it."""
    container = copy.copy(audit.container)
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook?a=1"
    container.config = audit.container.config.model_copy(update={"checkpoint_webhook": url})
    yield CheckpointWebhook(container)
    async with audit.container.database.connection() as connection:
        await connection.execute("DELETE FROM waiting_checkpoints")


async def sign(audit: "Audit", make_event: "MakeEvent", webhook: CheckpointWebhook) -> str:
    """Append an entry, and sign; returns the checkpoint of the deployment log."""
    await audit.record([make_event(tenant=new_tenant())])
    await CheckpointSigner(webhook._container).run()
    async with audit.container.database.connection() as connection:
        return str(await connection.fetchval("SELECT note FROM checkpoints WHERE tenant_id = ''"))


def notes_of(receiver: Receiver) -> list[str]:
    """The checkpoints that the receiver got."""
    return [note.partition("charset=utf-8 ")[2] for note in receiver.notes]


async def test_each_checkpoint_is_posted_once_in_order_also_one_that_was_replaced(
    audit: "Audit", make_event: "MakeEvent", receiver: Receiver, webhook: CheckpointWebhook
) -> None:
    first, second = [await sign(audit, make_event, webhook) for _ in range(2)]
    await webhook.run()
    await webhook.run()
    third = await sign(audit, make_event, webhook)
    await webhook.run()
    assert notes_of(receiver) == [first, second, third]
    assert all(note.startswith("/hook?a=1 text/plain; charset=utf-8 ") for note in receiver.notes)


async def test_another_worker_goes_on_where_one_has_died_and_two_at_once_send_each_once(
    audit: "Audit", make_event: "MakeEvent", receiver: Receiver, webhook: CheckpointWebhook
) -> None:
    signed = [await sign(audit, make_event, webhook) for _ in range(4)]
    others = [CheckpointWebhook(webhook._container) for _ in range(3)]
    await asyncio.gather(*(other.run() for other in others))
    assert notes_of(receiver) == signed


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_a_checkpoint_that_is_refused_is_sent_again_later_before_the_next_ones(
    audit: "Audit",
    make_event: "MakeEvent",
    receiver: Receiver,
    webhook: CheckpointWebhook,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    first = await sign(audit, make_event, webhook)
    receiver.status = status
    await webhook.run()
    await webhook.run()
    assert notes_of(receiver) == [first], "and not at once again"
    last = await sign(audit, make_event, webhook)
    receiver.status = 200
    now = time.monotonic()
    monkeypatch.setattr("quartet_audit.witnesses.checkpoint_webhook.time.monotonic", lambda: now + 1.1)
    await webhook.run()
    await webhook.run()
    assert notes_of(receiver) == [first, first, last]


async def test_the_oldest_are_left_out_when_too_many_wait(
    audit: "Audit",
    make_event: "MakeEvent",
    receiver: Receiver,
    webhook: CheckpointWebhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quartet_audit.checkpoints.waiting_checkpoint_store.MAX_WAITING", 2)
    signed = [await sign(audit, make_event, webhook) for _ in range(4)]
    receiver.status = 503
    await webhook.run()
    receiver.status = 200
    await CheckpointWebhook(webhook._container).run()
    assert notes_of(receiver) == [signed[0], *signed[2:]]


async def test_a_receiver_that_hangs_or_is_down_ends_after_the_time_limit_and_delays_no_signature(
    audit: "Audit",
    make_event: "MakeEvent",
    receiver: Receiver,
    webhook: CheckpointWebhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quartet_audit.witnesses.checkpoint_webhook.TIMEOUT", 0.2)
    await sign(audit, make_event, webhook)
    receiver.goes_on.clear()
    await webhook.run()
    assert webhook._failures == 1
    receiver.goes_on.set()
    receiver.server_close()
    before = await sign(audit, make_event, webhook)
    assert before != await sign(audit, make_event, webhook)
