"""Use cases of dead letters: a redrive selects, and is cancelled; dead letters are discarded."""

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError, ServiceError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.messaging import dead_letter_store, redrive_store
from quartet_common.messaging.dead_letter_events import dead_letter_discarded, redrive_cancelled, redrive_created
from quartet_common.messaging.dead_letter_store import Count, Selection
from quartet_common.messaging.redrive_store import Redrive
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work

MAX_SELECTED = 50_000
MAX_DISCARDED = 200
"""Dead letters that one request discards; each becomes an event with its payload."""

Container = AppContainer[Any]


class NothingSelectedError(ServiceError):
    """409: no dead letter meets the conditions."""

    def __init__(self) -> None:
        super().__init__(
            409,
            "nothing_selected",
            "No dead letter meets the conditions, or a redrive has selected them all. List them with the same filters.",
        )


class SelectionChangedError(ServiceError):
    """409: other dead letters meet the conditions than the caller expects."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            409,
            "selection_changed",
            f"{found} dead letters meet the conditions, and {expected} were expected: some have come or gone. "
            "Nothing was done. Look at them again with dry_run.",
        )


class TooManySelectedError(ServiceError):
    """422: more dead letters meet the conditions than one request may take."""

    def __init__(self, found: int, most: int) -> None:
        super().__init__(
            422,
            "too_many_selected",
            f"{found} dead letters meet the conditions; one request takes at most {most}. Use narrower filters.",
        )


async def preview(container: Container, tenant: str | None, selection: Selection) -> list[Count]:
    """What a redrive, or a discard, would take."""
    async with container.database.connection() as connection:
        return await dead_letter_store.count(connection, tenant, selection, with_selected=False)


async def create_redrive(
    container: Container, caller: Caller, tenant: str | None, selection: Selection, rate: int, expected: int | None
) -> Redrive:
    """Select dead letters, which a worker then sends, `rate` a second.

    Raises NothingSelectedError, SelectionChangedError (409), TooManySelectedError (422).
    """

    async def command(work: UnitOfWork) -> Redrive:
        redrive_id = new_id()
        selected = await dead_letter_store.select(work.connection, tenant, selection, redrive_id)
        _check(selected, expected, MAX_SELECTED)
        await redrive_store.insert(work.connection, work.tenant, redrive_id, caller.actor, rate, selected)
        work.publish([redrive_created(container.config.service, redrive_id, selected, rate)])
        return await _read(work, work.tenant, redrive_id)

    return await run_unit_of_work(container, caller, command)


async def cancel_redrive(container: Container, caller: Caller, tenant: str | None, redrive_id: UUID) -> Redrive:
    """Leave the dead letters that were not sent yet. A redrive that has ended stays as it is.

    Raises NotFoundError (404).
    """

    async def command(work: UnitOfWork) -> Redrive:
        left = await redrive_store.cancel(work.connection, tenant, redrive_id)
        redrive = await _read(work, tenant, redrive_id)
        if left is not None:
            work.publish([redrive_cancelled(container.config.service, redrive, left)])
        return redrive

    return await run_unit_of_work(container, caller, command)


async def discard(
    container: Container, caller: Caller, tenant: str | None, selection: Selection, reason: str, expected: int | None
) -> list[Count]:
    """Delete dead letters and count them. A copy of each goes into the audit log of its tenant; that of an
    unreadable one into the log of the platform's tenant.

    Raises NothingSelectedError, SelectionChangedError (409), TooManySelectedError (422).
    """

    async def command(work: UnitOfWork) -> list[Count]:
        found = await dead_letter_store.discard(work.connection, tenant, selection, MAX_DISCARDED + 1)
        if len(found) > MAX_DISCARDED or expected not in (None, len(found)):
            counts = await dead_letter_store.count(work.connection, tenant, selection, with_selected=False)
            _check(sum(one.number for one in counts) + len(found), expected, MAX_DISCARDED)
        _check(len(found), expected, MAX_DISCARDED)
        for letter, payload in found:
            owner = work.on_behalf_of(replace(caller, tenant=letter.tenant or SYSTEM_TENANT))
            owner.publish([dead_letter_discarded(container.config.service, letter, payload, reason)])
        numbers = Counter((letter.type, letter.failure) for letter, _ in found)
        return [Count(kind, failure, number) for (kind, failure), number in numbers.most_common()]

    return await run_unit_of_work(container, caller, command)


def _check(found: int, expected: int | None, most: int) -> None:
    if expected not in (None, found):
        raise SelectionChangedError(expected or 0, found)
    if not found:
        raise NothingSelectedError
    if found > most:
        raise TooManySelectedError(found, most)


async def _read(work: UnitOfWork, tenant: str | None, redrive_id: UUID) -> Redrive:
    redrive = await redrive_store.read_redrive(work.connection, tenant, redrive_id)
    if redrive is None:
        raise NotFoundError
    return redrive
