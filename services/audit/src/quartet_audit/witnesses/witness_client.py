"""Calls witnesses: one POST to `<submission prefix>/add-checkpoint`, with a limit of its size."""

from typing import NamedTuple

import httpx

from quartet_common.core.errors import UnavailableError

MAX_ANSWER = 256 * 1024
"""Bytes of an answer that are read: 64 signature lines have fewer."""


class WitnessAnswer(NamedTuple):
    """The status and the body of an answer."""

    status: int
    body: bytes


def open_client() -> httpx.AsyncClient:
    """The HTTP client for witnesses and the webhook of checkpoints. It trusts public authorities, sends no certificate,
    follows no redirect. The caller limits the time further.
    """
    return httpx.AsyncClient(timeout=30.0, trust_env=False, follow_redirects=False)


async def add_checkpoint(client: httpx.AsyncClient, url: str, body: bytes) -> WitnessAnswer:
    """Submit a checkpoint. Raises UnavailableError if the witness at `url` does not answer, or answers too much."""
    received = bytearray()
    try:
        async with client.stream("POST", f"{url.rstrip('/')}/add-checkpoint", content=body) as response:
            async for part in response.aiter_bytes():
                received += part
                if len(received) > MAX_ANSWER:
                    raise UnavailableError(url, problem=f"answers more than {MAX_ANSWER} bytes")
            return WitnessAnswer(response.status_code, bytes(received))
    except httpx.HTTPError as error:
        raise UnavailableError(url, problem=f"does not answer: {type(error).__name__}") from error
