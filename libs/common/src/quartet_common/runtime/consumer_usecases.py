"""Use cases of consumers: an operator pauses and resumes them in all workers of the service."""

from typing import Any

from quartet_common.core.caller import Caller
from quartet_common.messaging import consumer_pauses
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work

Container = AppContainer[Any]


async def pause(container: Container, caller: Caller, consumer: str, reason: str) -> None:
    """Stop a consumer, until it is resumed. One that is paused stays as it is."""
    await _change(container, caller, consumer, reason, is_paused=True)


async def resume(container: Container, caller: Caller, consumer: str) -> None:
    """Let a paused consumer take messages again."""
    await _change(container, caller, consumer, "", is_paused=False)


async def _change(container: Container, caller: Caller, consumer: str, reason: str, *, is_paused: bool) -> None:
    async def command(work: UnitOfWork) -> None:
        actor = caller.actor_name or caller.actor
        version = await consumer_pauses.change(work.connection, consumer, reason, actor, is_paused=is_paused)
        if version is not None:
            action, data = ("paused", {"reason": reason}) if is_paused else ("resumed", {})
            kind = f"{container.config.service}.consumer.{action}.v1"
            work.publish([DomainEvent(kind, f"consumers/{consumer}", version, {"consumer": consumer, **data})])

    await run_unit_of_work(container, caller, command)
