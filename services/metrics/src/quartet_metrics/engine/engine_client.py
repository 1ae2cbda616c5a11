"""Calls the engine, a VictoriaMetrics: queries with an enforced filter, imports and deletions."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine.engine_domain import tenant_filter

logger = logging.getLogger(__name__)

QUERY_TIMEOUT = httpx.Timeout(12.0, connect=1.0)
WRITE_TIMEOUT = httpx.Timeout(30.0, connect=1.0)
MAX_RESPONSE = 16 * 1024 * 1024
"""Maximum size of a response of the engine in bytes."""
PROVED_FOR = 60.0
"""Seconds until it is checked again that the engine enforces filters."""
FILTER = "extra_filters[]"
INVALID_FILTER = "{"
AWAY = 5
"""The Retry-After of a request that needs the engine, in seconds."""
NOT_CONFIGURED = "is not configured: set QUARTET_METRICS_ENGINE_URL to the URL of a VictoriaMetrics"

Parameters = Mapping[str, str | Sequence[str]]


class TooLargeError(ServiceError):
    """422: the response of the engine would have more than MAX_RESPONSE bytes."""

    def __init__(self) -> None:
        detail = f"The result has more than {MAX_RESPONSE} bytes. Use narrower selectors, a larger step, or aggregate."
        super().__init__(422, "result_too_large", detail)


def engine_unavailable(problem: str) -> UnavailableError:
    """503 with Retry-After: the engine has this `problem`."""
    error = UnavailableError("engine", AWAY, problem)
    error.detail = f"The engine of metrics {problem}. Other requests are not affected."
    return error


@dataclass(frozen=True)
class EngineAnswer:
    """A response of the engine: 200, or the status of a refused query."""

    status: int
    body: bytes = field(repr=False)


class EngineClient:
    """The engine of `config`; None of its calls is sent without one."""

    def __init__(
        self, config: MetricsConfig, http: Callable[[], httpx.AsyncClient], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._now = now
        self._url = config.metrics_engine_url
        self._write_url = config.metrics_engine_write_url or config.metrics_engine_url
        password = config.metrics_engine_password.get_secret_value()
        self._auth = httpx.BasicAuth(config.metrics_engine_user, password) if password else None
        self._proved_until = float("-inf")

    @property
    def is_configured(self) -> bool:
        """Whether there is an engine."""
        return self._url is not None

    def require(self) -> None:
        """Raises UnavailableError if there is no engine."""
        self._base(self._url)

    async def ask(self, path: str, parameters: Parameters, tenant: str) -> EngineAnswer:
        """The answer to a query of `tenant`, by POST to `path` below /api/v1.

        Raises UnavailableError (503), also if the engine ignores filters, TooLargeError (422), and ValueError for a
        text that cannot be a tenant.
        """
        allowed = tenant_filter(tenant)
        if self._now() >= self._proved_until:
            await self._prove_filters()
        return await self._post(f"{self._base(self._url)}/api/v1/{path}", {**parameters, FILTER: [allowed]})

    async def write(self, lines: bytes) -> None:
        """Import samples, one JSON object a line. Raises UnavailableError."""
        url = f"{self._base(self._write_url)}/api/v1/import"
        await self._change(url, content=lines)

    async def write_samples(self, packed: bytes) -> None:
        """Import a request of Prometheus remote write 1.0, in snappy. Raises UnavailableError."""
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        await self._change(f"{self._base(self._write_url)}/api/v1/write", content=packed, headers=headers)

    async def delete(self, selectors: Sequence[str]) -> None:
        """Delete the series of any of `selectors`. Raises UnavailableError."""
        url = f"{self._base(self._url).replace('/select/', '/delete/')}/api/v1/admin/tsdb/delete_series"
        await self._change(url, data={"match[]": list(selectors)})

    async def _prove_filters(self) -> None:
        """Check that the engine reads filters: one that ignores them answers 200 to an invalid one. A Prometheus does,
        and would show each tenant the samples of all others.
        """
        answer = await self._post(f"{self._base(self._url)}/api/v1/labels", {FILTER: [INVALID_FILTER]})
        if answer.status == httpx.codes.OK:
            raise engine_unavailable("does not enforce extra_filters[]: it must be a VictoriaMetrics 1.79 or newer")
        self._proved_until = self._now() + PROVED_FOR

    async def _post(self, url: str, form: Parameters) -> EngineAnswer:
        request = self._http().build_request(
            "POST", url, data=dict(form), headers={"Accept-Encoding": "identity"}, timeout=QUERY_TIMEOUT
        )
        try:
            response = await self._http().send(request, auth=self._auth, stream=True)
            try:
                body = await _bounded(response)
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise engine_unavailable("does not answer in time") from error
        except httpx.HTTPError as error:
            raise engine_unavailable("cannot be reached") from error
        if response.status_code not in (200, 400, 422):
            raise _refusal(response.status_code)
        return EngineAnswer(response.status_code, body)

    async def _change(self, url: str, **content: object) -> None:
        try:
            response = await self._http().post(url, auth=self._auth, timeout=WRITE_TIMEOUT, **content)  # type: ignore[arg-type]  # content or data
        except httpx.HTTPError as error:
            raise engine_unavailable("cannot be reached") from error
        if not response.is_success:
            raise _refusal(response.status_code)

    def _base(self, url: str | None) -> str:
        if url is None:
            raise engine_unavailable(NOT_CONFIGURED)
        return url


async def _bounded(response: httpx.Response) -> bytes:
    """The body of a response. Raises TooLargeError."""
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > MAX_RESPONSE:
            raise TooLargeError
        pieces.append(piece)
    return b"".join(pieces)


def _refusal(status: int) -> UnavailableError:
    if status in (401, 403):
        return engine_unavailable("refuses its credentials: check QUARTET_METRICS_ENGINE_USER and _PASSWORD")
    return engine_unavailable(f"answered {status}")
