"""The list of revocations in memory: which tokens it refuses, what it forgets, and when it does not know."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quartet_common.auth import revocation_list
from quartet_common.auth.principal import Principal
from quartet_common.auth.revocation_list import FORGET_INTERVAL, MAX_AGE, RevocationList
from quartet_common.auth.revocations import CLOCKS, KEPT, Revocation, revocation
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.revocation_events import RevocationFacts
from quartet_testing.revocations import KeptRevocations, listing

NOW = datetime.now(UTC)


class Clock:
    """Seconds that are set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rows() -> KeptRevocations:
    return KeptRevocations()


@pytest.fixture
async def listed(rows: KeptRevocations, clock: Clock) -> RevocationList:
    """A list that has just been read."""
    made = listing(rows, clock, NOW.timestamp)
    await made.refresh()
    return made


def holder(issued: datetime = NOW, **changes: Any) -> Principal:
    values = {"tenant": "acme", "actor": "u1", "client_id": "c1", "scopes": frozenset[str](), "expires_at": 0}
    return Principal(
        **{**values, "token_id": "t1", "issued_at": round(issued.timestamp(), 3), "session": "s1", **changes}
    )


@pytest.mark.parametrize(
    ("kind", "identifier", "reason"),
    [
        ("token", "t1", "revoked"),
        ("session", "s1", "revoked"),
        ("subject", "u1", "revoked"),
        ("client", "c1", "revoked"),
        ("tenant", "acme", "tenant_suspended"),
    ],
)
def test_each_kind_points_at_its_tokens_and_at_no_others(
    listed: RevocationList, kind: Any, identifier: str, reason: str
) -> None:
    assert listed.reason(holder()) is None
    listed.add([revocation("acme", kind, identifier, NOW, endless=kind == "tenant")])
    assert listed.reason(holder()) == reason
    others: list[dict[str, Any]] = [
        {"tenant": "other"},
        {"token_id": "t2", "session": "s2", "actor": "u2", "client_id": "c2"},
    ]
    assert listed.reason(holder(**others[0])) is None, "the same id in another tenant"
    assert listed.reason(holder(**others[1])) == (reason if kind == "tenant" else None)
    assert listed.reason(holder(session=None)) == (None if kind == "session" else reason)


@pytest.mark.parametrize(("kind", "identifier"), [("subject", "u1"), ("client", "c1")])
def test_what_is_issued_afterwards_is_good(listed: RevocationList, kind: Any, identifier: str) -> None:
    listed.add([revocation("acme", kind, identifier, NOW)])
    assert listed.reason(holder(NOW + timedelta(milliseconds=5))) is None
    assert listed.reason(holder(NOW - timedelta(seconds=1))) is not None


@pytest.mark.parametrize("microseconds", [0, 1, 499, 500, 501, 999])
def test_a_token_of_the_same_millisecond_is_refused_whichever_way_its_time_was_rounded(
    listed: RevocationList, microseconds: int
) -> None:
    issued = NOW.replace(microsecond=12_000 + microseconds)
    listed.add([revocation("acme", "subject", "u1", issued)])
    assert listed.reason(holder(issued)) == "revoked"


@pytest.mark.parametrize(("kind", "identifier"), [("token", "t1"), ("session", "s1")])
def test_a_token_and_a_session_are_over_whatever_the_clock_of_who_issued_says(
    listed: RevocationList, kind: Any, identifier: str
) -> None:
    listed.add([revocation("acme", kind, identifier, NOW)])
    assert listed.reason(holder(NOW + timedelta(seconds=4))) == "revoked"


def test_an_endless_one_holds_until_a_later_one_that_is_not(listed: RevocationList) -> None:
    listed.add([revocation("acme", "tenant", "acme", NOW, endless=True)])
    later = holder(NOW + timedelta(days=1))
    assert listed.reason(later) == "tenant_suspended"
    listed.add([revocation("acme", "tenant", "acme", NOW - timedelta(seconds=1))])
    assert listed.reason(later) == "tenant_suspended", "an older one changes nothing"
    listed.add([revocation("acme", "tenant", "acme", NOW + timedelta(seconds=1))])
    assert listed.reason(later) is None


def test_a_resumed_tenant_has_its_tokens_back_but_for_those_that_were_revoked_otherwise(
    listed: RevocationList,
) -> None:
    listed.add([revocation("acme", "tenant", "acme", NOW, endless=True)])
    listed.add([revocation("acme", "client", "other", NOW), revocation("acme", "tenant", "acme", NOW)])
    old = NOW - timedelta(days=90)
    assert listed.reason(holder(old)) is None, "an opaque token lives for months"
    listed.add([revocation("acme", "subject", "u1", NOW)])
    assert listed.reason(holder(old)) == "revoked"


async def test_a_reading_that_began_before_does_not_undo_what_was_added(
    listed: RevocationList, rows: KeptRevocations
) -> None:
    listed.add([revocation("acme", "subject", "u1", NOW)])
    rows.kept = [revocation("acme", "subject", "u1", NOW - timedelta(minutes=1))]
    await listed.refresh()
    assert listed.reason(holder()) == "revoked"


async def test_what_is_past_is_forgotten_and_what_is_endless_is_not(
    listed: RevocationList, rows: KeptRevocations, clock: Clock
) -> None:
    old = NOW - KEPT - timedelta(minutes=1)
    listed.add([revocation("acme", "token", "t1", old), revocation("acme", "subject", "u1", NOW)])
    listed.add([revocation("gone", "tenant", "gone", old, endless=True), revocation("past", "session", "s1", old)])
    clock.now += FORGET_INTERVAL + 1
    await listed.refresh()
    assert {tenant: list(held) for tenant, held in listed._held.items()} == {
        "acme": [("subject", "u1")],
        "gone": [("tenant", "gone")],
    }


async def test_one_that_says_when_its_tokens_expire_is_forgotten_soon_after(
    listed: RevocationList, rows: KeptRevocations, clock: Clock
) -> None:
    ends = {"over": NOW - CLOCKS - timedelta(seconds=1), "just over": NOW - timedelta(seconds=5), "to come": NOW}
    listed.add([revocation("acme", "token", name, NOW, expires_at=end) for name, end in ends.items()])
    rows.kept = [revocation("read", "token", "over", NOW, expires_at=ends["over"])]
    clock.now += FORGET_INTERVAL + 1
    await listed.refresh()
    assert [listed.reason(holder(token_id=name)) for name in ends] == [None, "revoked", "revoked"]
    assert {tenant: len(held) for tenant, held in listed._held.items()} == {"acme": 2}


async def test_one_that_comes_anew_while_the_past_is_forgotten_stays(
    listed: RevocationList, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_list, "AT_ONCE", 1)
    old = NOW - KEPT - timedelta(minutes=1)
    listed.add([revocation("acme", "subject", name, old) for name in ("u0", "u1")])
    clock.now += FORGET_INTERVAL + 1
    forgetting = asyncio.ensure_future(listed.refresh())
    while "u0" in {name for _, name in listed._held["acme"]}:  # noqa: ASYNC110  # this turn of the loop is what is meant
        await asyncio.sleep(0)
    listed.add([revocation("acme", "subject", "u1", NOW)])
    await forgetting
    assert listed.reason(holder()) == "revoked"


async def test_a_list_that_was_never_read_or_not_for_long_refuses_to_tell(rows: KeptRevocations, clock: Clock) -> None:
    made = listing(rows, clock, NOW.timestamp)
    with pytest.raises(UnavailableError):
        made.reason(holder())
    await made.refresh()
    clock.now += MAX_AGE
    assert made.reason(holder()) is None
    clock.now += 1
    rows.away = True
    with pytest.raises(UnavailableError):
        await made.refresh()
    with pytest.raises(UnavailableError):
        made.reason(holder())
    rows.away = False
    await made.refresh()
    assert made.reason(holder()) is None


async def test_a_reading_that_fails_is_made_again_from_the_same_place(
    listed: RevocationList, rows: KeptRevocations
) -> None:
    rows.horizon, rows.away = 9, True
    with pytest.raises(UnavailableError):
        await listed.refresh()
    rows.away = False
    await listed.refresh()
    await listed.refresh()
    assert rows.asked == ["0", "7", "9"]


async def test_a_database_that_was_put_back_is_read_from_the_start(
    listed: RevocationList, rows: KeptRevocations
) -> None:
    rows.horizon = 3
    await listed.refresh()
    rows.kept = [revocation("acme", "subject", "u1", NOW)]
    await listed.refresh()
    assert rows.asked == ["0", "7", "0"]
    assert listed.reason(holder()) == "revoked"


def test_what_is_read_of_the_event_is_what_is_kept() -> None:
    assert RevocationFacts.__struct_fields__ == Revocation.__struct_fields__


async def test_a_process_that_never_reads_the_list_holds_nothing(rows: KeptRevocations, clock: Clock) -> None:
    worker = listing(rows, clock, NOW.timestamp)
    worker.add([revocation("acme", "subject", "u1", NOW)])
    assert not worker._held
