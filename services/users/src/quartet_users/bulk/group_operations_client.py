"""The client for the group operations of a Bulk request: one call to groups for each run, never repeated."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import httpx
import msgspec
import orjson

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import ShareExceededError
from quartet_common.runtime.service_client import ServiceClient
from quartet_scim.bulk import Outcome, Planned
from quartet_scim.errors import ScimError, ScimType
from quartet_scim_http.bulk_outcomes import LATE

MAX_CALL_BYTES = 4 * 1024 * 1024
TIMEOUT = 30.0
"""The timeout of one call in seconds: hundreds of operations take longer than other calls between services."""
SPARE = 5.0
"""Seconds before the timeout in which groups starts no further operation, so that its response arrives in time."""

NOT_TRIED = ScimError(
    503, "The operation was not carried out: the groups service did not answer an earlier one. Send it again."
)


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    detail: str
    scim_type: ScimType | None = None


class _Result(msgspec.Struct, frozen=True):
    status: int
    version: int | None = None
    error: _Error | None = None


class _Results(msgspec.Struct, frozen=True):
    results: list[_Result]


class GroupOperations(Protocol):
    """Carries out group operations in their order."""

    async def carry_out(
        self, caller: Caller, operations: Sequence[Planned], errors_left: int | None, seconds: float
    ) -> list[Outcome]:
        """The outcomes of the operations within `seconds`; fewer than operations if `errors_left` errors occurred.

        Raises UnavailableError (503) if the outcomes are unknown.
        """


class GroupOperationsClient:
    """GroupOperations by HTTP calls to the groups service."""

    def __init__(self, client: ServiceClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock

    async def carry_out(
        self, caller: Caller, operations: Sequence[Planned], errors_left: int | None, seconds: float
    ) -> list[Outcome]:
        """As GroupOperations, in calls of about 4 MiB at most."""
        outcomes: list[Outcome] = []
        ends = self._clock() + seconds
        for some in _in_parts([_encoded(one) for one in operations]):
            left = None if errors_left is None else errors_left - sum(one.error is not None for one in outcomes)
            if left is not None and left <= 0:
                break
            limit = min(TIMEOUT, ends - self._clock())
            if limit <= SPARE:
                return outcomes + [Outcome.failed(LATE)] * (len(operations) - len(outcomes))
            try:
                outcomes += await self._call(caller, some, left, limit)
            except (UnavailableError, ShareExceededError) as error:
                if not outcomes:
                    raise
                outcomes += [Outcome.failed(error)] * len(some)
                return outcomes + [Outcome.failed(NOT_TRIED)] * (len(operations) - len(outcomes))
        return outcomes

    async def _call(
        self, caller: Caller, operations: Sequence[bytes], errors_left: int | None, limit: float
    ) -> list[Outcome]:
        body = b'{"failOnErrors":%b,"seconds":%b,"scopes":%b,"operations":[%b]}' % (
            orjson.dumps(errors_left),
            orjson.dumps(limit - SPARE),
            orjson.dumps(sorted(caller.scopes)),
            b",".join(operations),
        )
        headers, timeout = {"Content-Type": "application/json"}, httpx.Timeout(limit, connect=1.0)
        response = await self._client.request(
            "POST", "/groups/bulk", caller, content=body, headers=headers, timeout=timeout
        )
        if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            refused = ScimError(413, "The operation is larger than the groups service accepts. Split it.")
            return [Outcome.failed(refused)] * len(operations)
        if response.status_code != httpx.codes.OK:
            raise UnavailableError("groups")
        return [_outcome(one) for one in msgspec.json.decode(response.content, type=_Results).results]


def _encoded(planned: Planned) -> bytes:
    operation = planned.operation
    sent: dict[str, Any] = {
        "method": operation.method,
        "id": planned.id,
        "version": operation.version,
        "data": planned.data,
    }
    return orjson.dumps(sent)


def _in_parts(encoded: Sequence[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for one in encoded:
        if part and size + len(one) > MAX_CALL_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one)
    if part:
        yield part


def _outcome(result: _Result) -> Outcome:
    if result.error is None:
        return Outcome(result.status, result.version)
    return Outcome.failed(ScimError(result.status, result.error.detail, result.error.scim_type))
