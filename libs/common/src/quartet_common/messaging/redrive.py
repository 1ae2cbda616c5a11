"""Redrive: moves dead letters back into their queue, on request of an operator, and automatically those that a failed
server caused.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from aio_pika import Message
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.data.database_errors import UNAVAILABLE
from quartet_common.messaging.deliveries import REASON_HEADER, copy_of, header_number
from quartet_common.messaging.stats import QueueState, read_queues
from quartet_common.messaging.topology import EVENTS_HEADER, QueueNames

logger = logging.getLogger(__name__)

MAX_REDRIVEN = 1000
"""Dead letters that are moved at a time."""
CONFIRM_TIMEOUT = 5.0
"""Seconds that RabbitMQ may take to confirm a moved message; during an alarm it confirms none."""
CHECK_INTERVAL = 60.0
"""Seconds after which the dead letters of a consumer are read again although their number is the same."""
SLOW = 0.5
"""Seconds."""
RETURNS_HEADER = "x-quartet-returns"
"""How often a dead letter was redriven automatically."""
MAX_RETURNS = 3
"""Each redrive gives six attempts within 13 minutes; events that still fail are left to an operator."""


def _names(classes: Iterable[type[BaseException]]) -> Iterator[str]:
    for one in classes:
        yield one.__name__
        yield from _names(one.__subclasses__())


SERVER_FAILURES = frozenset(_names((UnavailableError, CapacityExceededError, ContendedError, *UNAVAILABLE)))
"""Errors that are not an event's fault, by the names with which reasons begin."""


async def redrive(
    connection: AbstractConnection,
    names: QueueNames,
    is_wanted: Callable[[AbstractIncomingMessage], bool],
    limit: int = MAX_REDRIVEN,
    *,
    by_itself: bool = False,
) -> int:
    """Move the wanted dead letters of a consumer back into its queue, at most `limit`; return how many.

    All are taken before the first is moved: one that fails again at once would otherwise be taken again. Others stay
    unacknowledged meanwhile, however many, and go back to the front of their queue; if they are many, in another order.
    """
    channel = await connection.channel(on_return_raises=True)
    queue = await channel.get_queue(names.dead)
    taken: list[AbstractIncomingMessage] = []
    passed: AbstractIncomingMessage | None = None
    while len(taken) < limit and (message := await queue.get(fail=False)) is not None:
        if is_wanted(message):
            taken.append(message)
        else:
            passed = message
    for message in taken:
        fresh = _fresh(message)
        if by_itself:
            fresh.headers[RETURNS_HEADER] = header_number(message, RETURNS_HEADER) + 1
        await channel.default_exchange.publish(fresh, names.main, mandatory=True, timeout=CONFIRM_TIMEOUT)
        await message.ack()
    if passed is not None:
        await passed.nack(multiple=True, requeue=True)  # all that were skipped
    return len(taken)


async def redrive_all(
    connection: AbstractConnection,
    consumers: Sequence[QueueNames],
    is_wanted: Callable[[AbstractIncomingMessage], bool],
    limit: int,
) -> int:
    """Move the wanted dead letters of all `consumers` back into their queues, at most `limit`; return how many."""
    redriven = 0
    found = await read_queues(connection, [names.dead for names in consumers])
    for names in consumers:
        if names.dead in found:
            redriven += await redrive(connection, names, is_wanted, limit - redriven)
    return redriven


def _fresh(message: AbstractIncomingMessage) -> Message:
    """A copy without attempts; the trace goes on."""
    copy = copy_of(message)
    copy.headers = {
        key: value for key, value in copy.headers.items() if key == EVENTS_HEADER or not key.startswith("x-")
    }
    return copy


@dataclass(frozen=True)
class Look:
    """A check of the dead letters of a consumer: when it ended, how long it took, in seconds, and how many it left."""

    ended: float
    took: float
    left: int


class AutomaticRedrive:
    """Redrives the dead letters of `consumers` that a failed server caused: each at most MAX_RETURNS times.

    A consumer keeps events unacknowledged while a server is down. So these dead letters are of earlier versions, or of
    events whose statements timed out while the server counted as up.
    """

    def __init__(self, consumers: Iterable[str]) -> None:
        self._consumers = [QueueNames(name) for name in consumers]
        self._looks: dict[str, Look] = {}

    async def run_once(self, connection: AbstractConnection, queues: Mapping[str, QueueState]) -> None:
        """Read the dead letters if the state of `queues` shows some that are new.

        Raises one of BROKER_ERRORS.
        """
        for names in self._consumers:
            waiting = queues[names.dead].messages if names.dead in queues else 0
            begun = monotonic()
            if not waiting or not _is_due(self._looks.get(names.dead), waiting, begun):
                continue
            redriven = await redrive(connection, names, _is_returned, by_itself=True)
            ended = monotonic()
            self._looks[names.dead] = Look(ended, ended - begun, waiting - redriven)
            if redriven:
                facts = {"queue": names.main, "events": redriven}
                logger.warning("dead letters of a server's failure were put back into their queue", extra=facts)


def _is_due(last: Look | None, waiting: int, now: float) -> bool:
    """Whether to read `waiting` dead letters: at once if their number has changed, else after CHECK_INTERVAL (one may
    have gone and another come). Slow checks of very many take a tenth of the time at most.
    """
    if last is None:
        return True
    pause = now - last.ended
    if last.took > SLOW and pause < 9 * last.took:
        return False
    return waiting != last.left or pause >= CHECK_INTERVAL


def _is_returned(message: AbstractIncomingMessage) -> bool:
    failure = str(message.headers.get(REASON_HEADER)).partition(":")[0]
    return failure in SERVER_FAILURES and header_number(message, RETURNS_HEADER) < MAX_RETURNS
