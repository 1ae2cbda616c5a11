"""Denied requests: bounded events; those that cannot be written are counted for the next window."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import asyncpg
import pytest

from quartet_common.auth.principal import Principal
from quartet_common.core.caller import Caller
from quartet_common.core.clock import utc_now
from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.data.database import Database
from quartet_common.messaging.event_aggregation import MAX_KEYS, OTHERS
from quartet_common.web.denied_requests import MAX_TENANTS, TENANT_CAPACITY, DeniedRequestLog
from quartet_testing.conditions import eventually

SOMEBODY = Principal("acme", "bjensen", "scim", frozenset(), 0, actor_name="Barbara", actor_type="user")
BARBARA = Caller("acme", "bjensen", "192.0.2.1", actor_name="Barbara", actor_type="user", user_agent="curl/8.0")
FULL = asyncpg.DiskFullError("the disk is full")


class Store:
    """A database whose transactions fail with what it is given; later ones note what was counted."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        self.errors = list(errors)
        self.written = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Store"]:
        if self.errors:
            raise self.errors.pop(0)
        yield self

    async def execute(self, *_: Any) -> None:
        self.written += 1

    executemany = fetch = execute


def log_of(store: Store, window: float = 3600) -> DeniedRequestLog:
    return DeniedRequestLog("common", lambda: cast(Database, store), utc_now, window)


@pytest.mark.parametrize("error", [FULL, UnavailableError("postgresql"), ContendedError("postgresql")])
async def test_who_is_forbidden_stays_so_if_it_cannot_be_written(error: Exception) -> None:
    store = Store([error])
    await log_of(store).forbidden(BARBARA, "GET", "/", "users:read")
    assert (store.errors, store.written) == ([], 0)


@pytest.mark.parametrize("error", [FULL, UnavailableError("postgresql"), ContendedError("postgresql")])
async def test_what_could_not_be_written_is_told_with_what_came_meanwhile(error: Exception) -> None:
    store = Store([error])
    log = log_of(store)
    for address in ("192.0.2.1", "192.0.2.2"):
        log.unauthenticated(address, "missing", "GET", "/")
    await log.flush()
    assert store.written == 0
    log.unauthenticated("192.0.2.1", "missing", "GET", "/later")
    counts = {(key.address, key.reason): tally.count for key, tally in log._tallies.items()}
    assert counts == {("192.0.2.1", "missing"): 2, ("192.0.2.2", "missing"): 1}
    await log.flush()
    assert store.written == 2
    assert not log._tallies


async def test_what_nothing_could_store_is_not_tried_for_ever() -> None:
    store = Store([asyncpg.DataError("no such text")])
    log = log_of(store)
    log.unauthenticated("192.0.2.1", "missing", "GET", "/")
    log.unauthenticated("192.0.2.2", "missing", "GET", "/")
    await log.flush()
    assert (store.written, log._tallies) == (1, {})


async def test_while_nothing_can_be_written_there_is_a_bound_to_what_is_kept() -> None:
    log = log_of(Store([FULL, FULL, FULL]))
    for turn in range(3):
        for number in range(MAX_KEYS * 2):
            log.unauthenticated(f"192.0.2.{turn}{number}", "missing", "GET", "/")
        await log.flush()
    assert len(log._tallies) == MAX_KEYS + 1
    assert sum(tally.count for tally in log._tallies.values()) == MAX_KEYS * 2 * 3


async def test_windows_go_on_after_one_that_failed() -> None:
    store = Store([FULL, RuntimeError("a bug")])
    log = log_of(store, window=0.001)
    log.unauthenticated("192.0.2.1", "missing", "GET", "/")
    log.start()

    async def written() -> bool:
        return store.written == 1

    await eventually(written, "the summary is written")
    await log.stop()


async def test_what_was_limited_is_told_in_the_callers_tenant_if_it_is_known() -> None:
    log = log_of(Store([FULL]))
    for who in (SOMEBODY, None, SOMEBODY):
        log.limited(who, "192.0.2.1", "client", "GET", "/")
    log.unauthenticated("192.0.2.1", "missing", "GET", "/")
    await log.flush()
    counts = {(key.status, key.tenant, key.actor, key.reason): tally.count for key, tally in log._tallies.items()}
    assert counts == {
        (429, "acme", "bjensen", "client"): 2,
        (429, "quartet", "anonymous", "client"): 1,
        (401, "quartet", "anonymous", "missing"): 1,
    }


async def test_a_flood_of_one_status_does_not_hide_the_other() -> None:
    log = log_of(Store([]))
    for number in range(MAX_KEYS + 5):
        log.unauthenticated(f"192.0.2.{number}", "missing", "GET", "/")
        log.limited(None, f"192.0.2.{number}", "address", "GET", "/")
    others = {key.status: tally.count for key, tally in log._tallies.items() if key.reason == "(others)"}
    assert others == {401: 5, 429: 5}


def actors(log: DeniedRequestLog) -> set[tuple[int, str, str]]:
    return {(kind.status, kind.tenant, kind.actor) for kind in log._tallies}


async def test_junk_hides_neither_what_a_tenant_is_refused_nor_tokens_that_were_ours() -> None:
    log = log_of(Store([]))
    for number in range(MAX_KEYS * 2):
        log.unauthenticated(f"192.0.2.{number}", "malformed", "GET", "/")
        log.limited(None, f"192.0.2.{number}", "address", "GET", "/")
    log.limited(SOMEBODY, "198.51.100.1", "client", "GET", "/")
    log.unauthenticated("198.51.100.1", "revoked", "GET", "/")
    assert (429, "acme", "bjensen") in actors(log)
    assert ("198.51.100.1", "revoked") in {(kind.address, kind.reason) for kind in log._tallies}


async def test_one_tenant_hides_no_other_and_its_rest_stays_its_own() -> None:
    log = log_of(Store([]))
    for number in range(TENANT_CAPACITY + 3):
        log.limited(replace(SOMEBODY, actor=f"user {number}"), "192.0.2.1", "user", "GET", "/")
    log.limited(replace(SOMEBODY, tenant="other"), "192.0.2.1", "user", "GET", "/")
    assert (429, "other", "bjensen") in actors(log)
    rest = {kind: tally.count for kind, tally in log._tallies.items() if kind.actor == OTHERS}
    assert {(kind.tenant, kind.status, count) for kind, count in rest.items()} == {("acme", 429, 3)}


async def test_however_many_tenants_are_refused_there_is_a_bound() -> None:
    log = log_of(Store([]))
    for number in range(MAX_TENANTS * 3):
        for actor in range(TENANT_CAPACITY + 3):
            who = replace(SOMEBODY, tenant=f"t{number}", actor=f"user {actor}")
            log.limited(who, "192.0.2.1", "user", "GET", "/")
    assert len(log._tallies) == MAX_TENANTS * (TENANT_CAPACITY + 1) + MAX_KEYS + 1
    assert sum(tally.count for tally in log._tallies.values()) == MAX_TENANTS * 3 * (TENANT_CAPACITY + 3)
    await log.flush()
    log.limited(replace(SOMEBODY, tenant="late"), "192.0.2.1", "user", "GET", "/")
    assert actors(log) == {(429, "late", "bjensen")}, "the next window has all its room"


async def test_a_flood_of_403_is_told_once_at_once_and_then_as_a_count_each_window() -> None:
    store = Store([])
    log = log_of(store)
    for turn in range(2):
        for _ in range(30):
            await log.forbidden(BARBARA, "GET", "/scim/v2/Users", "users:read")
        await log.forbidden(BARBARA, "DELETE", "/scim/v2/Users/1", "users:write")
        assert store.written == turn * 3 + 2
        [(kind, tally)] = log._tallies.items()
        caller, event = log.event_of(kind, tally)
        assert (caller.tenant, caller.actor, caller.source_address) == ("acme", "bjensen", "192.0.2.1")
        facts = {name: event.data[name] for name in ("status", "reason", "scope", "count", "method", "path")}
        assert facts == {
            "status": 403,
            "reason": "insufficient_scope",
            "scope": "users:read",
            "count": 29,
            "method": "GET",
            "path": "/scim/v2/Users",
        }
        await log.flush()
        assert store.written == turn * 3 + 3


async def test_a_walk_over_many_paths_that_are_forbidden_has_a_bound_too() -> None:
    store = Store([])
    log = log_of(store)
    for number in range(TENANT_CAPACITY * 4):
        await log.forbidden(BARBARA, "GET", f"/scim/v2/Users/{number}", "users:read")
    assert (store.written, len(log._tallies)) == (TENANT_CAPACITY, TENANT_CAPACITY + 1)
    assert sum(tally.count for tally in log._tallies.values()) == TENANT_CAPACITY * 3


async def test_a_403_that_could_not_be_written_is_told_later() -> None:
    store = Store([FULL])
    log = log_of(store)
    await log.forbidden(BARBARA, "GET", "/", "users:read")
    await log.flush()
    assert store.written == 1
