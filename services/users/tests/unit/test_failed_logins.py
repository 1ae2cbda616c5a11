"""EventAggregator of failed logins: bounded, whatever is tried."""

from datetime import UTC, datetime
from typing import Any

import pytest

from quartet_common.core.errors import UnavailableError
from quartet_common.messaging import outbox
from quartet_common.messaging.event_aggregation import MAX_KEYS
from quartet_users.logins.failed_logins import FailedLogins, Failure

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


class Recorder:
    """In the place of database and outbox: keeps what is written, or is away."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str | None, dict[str, Any]]] = []
        self.away = False

    def transaction(self) -> "Recorder":
        return self

    async def __aenter__(self) -> "Recorder":
        if self.away:
            raise UnavailableError("postgresql")
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def add(self, _: object, caller: Any, events: Any, **__: Any) -> None:
        self.written += [(caller.tenant, caller.source_address, event.data) for event in events]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found, add = Recorder(), outbox.add

    async def recorded(connection: Any, *told: Any, **more: Any) -> None:
        # a service that runs beside, for other tests, writes its own
        await (found.add if connection is found else add)(connection, *told, **more)

    monkeypatch.setattr(outbox, "add", recorded)
    return found


@pytest.fixture
def log(recorder: Recorder) -> FailedLogins:
    return FailedLogins("users", lambda: recorder, lambda: NOW, 5.0)  # type: ignore[arg-type,return-value]  # a fake


def failure(name: str = "bjensen", tenant: str | None = "acme", address: str | None = "192.0.2.1") -> Failure:
    return Failure(tenant, name, None, address, "unknown_user")


async def test_what_is_alike_is_told_once_with_its_number(log: FailedLogins, recorder: Recorder) -> None:
    for _ in range(1000):
        log.failed(failure())
    log.failed(failure(address="192.0.2.2"))
    log.failed(failure(tenant=None))
    await log.flush()
    assert [(tenant, address, data["count"]) for tenant, address, data in recorder.written] == [
        ("acme", "192.0.2.1", 1000),
        ("acme", "192.0.2.2", 1),
        ("quartet", "192.0.2.1", 1),
    ]
    await log.flush()
    assert len(recorder.written) == 3


async def test_a_flood_of_names_in_one_tenant_is_bounded_and_hides_nothing_in_another(
    log: FailedLogins, recorder: Recorder
) -> None:
    for number in range(10_000):
        log.failed(failure(f"user {number}"))
    log.failed(failure(tenant="other"))
    await log.flush()
    assert len(recorder.written) == MAX_KEYS + 2
    assert sum(data["count"] for _, _, data in recorder.written) == 10_001
    [rest] = [data for _, _, data in recorder.written if data["userName"] == "(others)"]
    assert (rest["count"], rest["reason"]) == (10_000 - MAX_KEYS, "(others)")
    assert [data["userName"] for tenant, _, data in recorder.written if tenant == "other"] == ["bjensen"]


async def test_what_cannot_be_written_is_told_later(log: FailedLogins, recorder: Recorder) -> None:
    log.failed(failure())
    recorder.away = True
    await log.flush()
    log.failed(failure())
    recorder.away = False
    await log.stop()
    assert [data["count"] for _, _, data in recorder.written] == [2]


async def test_names_are_cut_and_can_be_stored(log: FailedLogins, recorder: Recorder) -> None:
    log.failed(failure("x\0" * 500))
    await log.flush()
    assert recorder.written[0][2]["userName"] == "x\ufffd" * 64
