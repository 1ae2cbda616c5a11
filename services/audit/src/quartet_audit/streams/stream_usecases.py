"""Use cases of streams: creates, changes, pauses, resumes, replays and deletes them; each opens its one transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_range_store import read_size
from quartet_audit.entries.filter_domain import Filters
from quartet_audit.streams import stream_store
from quartet_audit.streams.stream_address_domain import RefusedAddressError
from quartet_audit.streams.stream_domain import (
    QUARTET,
    Destination,
    Splunk,
    Stream,
    Webhook,
    check_filters,
    check_format,
)
from quartet_audit.streams.stream_events import (
    stream_changed,
    stream_created,
    stream_deleted,
    stream_paused,
    stream_replayed,
    stream_resumed,
)
from quartet_audit.streams.stream_message_domain import new_secret
from quartet_audit.streams.stream_models import NewStream, StreamChange
from quartet_audit.streams.stream_network import Resolver
from quartet_common.auth.sealing import Sealer
from quartet_common.core.caller import Caller
from quartet_common.core.errors import BadRequestError, NotFoundError, ServiceError
from quartet_common.core.identifiers import new_id, parse_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work

Container = AppContainer[AuditConfig]

MAX_STREAMS = 10
"""Streams of a tenant: as many as a worker delivers at a time of one tenant."""


@dataclass(frozen=True)
class Streams:
    """What the routes of streams need of a process: how to encrypt secrets, and to resolve hosts."""

    sealer: Sealer
    resolver: Resolver

    @classmethod
    def of(cls, config: AuditConfig) -> "Streams":
        """From the configuration."""
        return cls(Sealer(config.master_key.get_secret_value()), Resolver(config.stream_networks))


async def create_stream(
    container: Container, streams: Streams, caller: Caller, wanted: NewStream
) -> tuple[Stream, str | None]:
    """Store a stream; returns it with the secret that was made for its signatures, if it is a webhook.

    Raises BadRequestError (400) naming what is wrong, and ServiceError (409) beyond MAX_STREAMS.
    """
    check_format(wanted.format)
    check_filters(wanted.filters)
    await _check_destination(container.config, streams, wanted.destination)
    secret = new_secret() if isinstance(wanted.destination, Webhook) else None
    sealed = _seal(streams, secret or wanted.destination.secret)
    async with unit_of_work(container, caller) as work:
        await stream_store.lock_tenant(work.connection, work.tenant)
        if len(await stream_store.read_streams(work.connection, work.tenant)) >= MAX_STREAMS:
            detail = f"A tenant may have {MAX_STREAMS} streams. Delete one first."
            raise ServiceError(409, "too_many_streams", detail)
        stream = _new_stream(work, wanted, await _start(work.connection, work.tenant, wanted.start))
        await stream_store.insert_stream(work.connection, stream, sealed)
        work.publish([stream_created(stream)])
        return await _require(work.connection, work.tenant, stream.id), secret


def _new_stream(work: UnitOfWork, wanted: NewStream, position: int) -> Stream:
    now = work.now()
    return Stream(
        tenant=work.tenant,
        id=new_id(),
        version=1,
        name=wanted.name,
        destination=wanted.destination.without_secret(),
        filters=wanted.filters,
        format=wanted.format,
        created_at=now,
        position=position,
        batch_end=None,
        replays=0,
        delivered_at=None,
        failures=0,
        failing_since=None,
        problem=None,
        due_at=now,
        paused_at=None,
        pause_reason=None,
        size=position,
    )


async def list_streams(container: Container, tenant: str) -> list[Stream]:
    """All streams of a tenant, the oldest first."""
    async with container.database.connection() as connection:
        return await stream_store.read_streams(connection, tenant)


async def read_stream(container: Container, tenant: str, identifier: str) -> Stream:
    """One stream. Raises NotFoundError (404)."""
    async with container.database.connection() as connection:
        return await _require(connection, tenant, _parse(identifier))


async def change_stream(
    container: Container, streams: Streams, caller: Caller, identifier: str, wanted: StreamChange
) -> tuple[Stream, str | None]:
    """Change what is given; returns the stream, and a secret if one was made for a webhook.

    What was not delivered yet goes to the new destination. Raises NotFoundError (404) and BadRequestError (400).
    """
    check_format(wanted.format or QUARTET)
    check_filters(wanted.filters or Filters())
    if wanted.destination is not None:
        await _check_destination(container.config, streams, wanted.destination)
    async with _changing(container, caller, identifier) as (work, stream):
        secret, sealed = None, None
        if wanted.destination is not None:
            is_new = isinstance(wanted.destination, Webhook) and not isinstance(stream.destination, Webhook)
            secret = new_secret() if is_new else None
            sealed = _seal(streams, secret or wanted.destination.secret)
        until = None
        changed = replace(
            stream,
            version=stream.version + 1,
            name=wanted.name or stream.name,
            destination=stream.destination if wanted.destination is None else wanted.destination.without_secret(),
            filters=stream.filters if wanted.filters is None else wanted.filters,
            format=wanted.format or stream.format,
        )
        if wanted.rotate_secret is not None and secret is None:
            secret, until = _rotate(changed, work.now(), wanted.rotate_secret)
            sealed = _seal(streams, secret)
        await stream_store.change_stream(work.connection, changed, sealed, work.now(), until)
        work.publish([stream_changed(changed, is_rotated=until is not None)])
        return await _require(work.connection, work.tenant, stream.id), secret


def _rotate(stream: Stream, now: datetime, hours: int) -> tuple[str, datetime]:
    """A new secret of a webhook, and until when the former one is valid. Raises BadRequestError (400)."""
    if not isinstance(stream.destination, Webhook):
        raise BadRequestError("rotate_secret is for webhooks. For another destination, give all of destination again.")
    return new_secret(), now + timedelta(hours=hours)


async def pause_stream(container: Container, caller: Caller, identifier: str) -> Stream:
    """Deliver no more until it is resumed; one batch may still be on its way. Raises NotFoundError (404)."""
    async with _changing(container, caller, identifier) as (work, stream):
        if stream.paused_at is None:
            await pause(work, stream, "paused by a request")
        return await _require(work.connection, work.tenant, stream.id)


async def pause(work: UnitOfWork, stream: Stream, reason: str) -> None:
    """Pause a stream that is locked, and publish why."""
    await stream_store.pause_stream(work.connection, stream.tenant, stream.id, work.now(), reason)
    work.publish([stream_paused(replace(stream, version=stream.version + 1), reason)])


async def resume_stream(container: Container, caller: Caller, identifier: str) -> Stream:
    """Deliver from where the stream was paused; one that fails is tried at once. Raises NotFoundError (404)."""
    async with _changing(container, caller, identifier) as (work, stream):
        await stream_store.resume_stream(work.connection, work.tenant, stream.id, work.now())
        work.publish([stream_resumed(replace(stream, version=stream.version + 1))])
        return await _require(work.connection, work.tenant, stream.id)


async def replay_stream(container: Container, caller: Caller, identifier: str, start: int | datetime) -> Stream:
    """Deliver again from `start` on: the sequence of an entry, or the time at which it was recorded.

    Raises NotFoundError (404) and BadRequestError (400).
    """
    async with _changing(container, caller, identifier) as (work, stream):
        position = await _start(work.connection, work.tenant, start)
        await stream_store.replay_stream(work.connection, work.tenant, stream.id, work.now(), position)
        work.publish([stream_replayed(replace(stream, version=stream.version + 1), position)])
        return await _require(work.connection, work.tenant, stream.id)


async def delete_stream(container: Container, caller: Caller, identifier: str) -> None:
    """Forget a stream. Raises NotFoundError (404)."""
    async with _changing(container, caller, identifier) as (work, stream):
        await stream_store.delete_stream(work.connection, work.tenant, stream.id)
        work.publish([stream_deleted(replace(stream, version=stream.version + 1))])


@asynccontextmanager
async def _changing(container: Container, caller: Caller, identifier: str) -> AsyncIterator[tuple[UnitOfWork, Stream]]:
    """A unit of work with the stream locked. Raises NotFoundError (404)."""
    parsed = _parse(identifier)
    async with unit_of_work(container, caller) as work:
        stream = await stream_store.lock_stream(work.connection, work.tenant, parsed)
        if stream is None:
            raise _not_found()
        yield work, stream


async def _require(connection: Connection, tenant: str, identifier: UUID) -> Stream:
    stream = await stream_store.get_stream(connection, tenant, identifier)
    if stream is None:
        raise _not_found()
    return stream


def _parse(identifier: str) -> UUID:
    parsed = parse_id(identifier)
    if parsed is None:
        raise _not_found()
    return parsed


def _not_found() -> NotFoundError:
    return NotFoundError("There is no stream with this id.")


async def _start(connection: Connection, tenant: str, start: int | datetime | None) -> int:
    """The sequence of the first entry. Raises BadRequestError (400) for one beyond the end of the log."""
    size = await read_size(connection, tenant)
    if isinstance(start, datetime):
        return await stream_store.find_recorded(connection, tenant, start)
    if start is not None and start > size:
        raise BadRequestError(f"from must be at most {size}, the size of the log, got {start}.")
    return size if start is None else start


async def _check_destination(config: AuditConfig, streams: Streams, destination: Destination) -> None:
    """Raises BadRequestError (400) for a destination that is not allowed, naming its address."""
    target = destination.target
    if target is None:
        if config.stream_dir is None:
            raise BadRequestError("destination.type file is off: the operator has set no QUARTET_STREAM_DIR.")
        return
    if isinstance(destination, Splunk) and destination.token is None:
        raise BadRequestError("destination.token is missing: give the token of the HTTP Event Collector.")
    try:
        await streams.resolver.resolve(*target)
    except RefusedAddressError as error:
        raise BadRequestError(f"destination: {error}.", "address_refused") from None
    except (OSError, UnicodeError):
        raise BadRequestError(f"destination: the host {target[0]} cannot be resolved.", "host_not_found") from None


def _seal(streams: Streams, secret: str | None) -> str | None:
    return None if secret is None else streams.sealer.seal(secret.encode())
