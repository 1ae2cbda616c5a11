"""The caller: on whose behalf a change is made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """On whose behalf a command runs: from the token and the request, or from the event that caused it.

    `scopes` are those of the access token; empty outside of requests.
    """

    tenant: str
    actor: str
    source_address: str | None = None
    scopes: frozenset[str] = frozenset()
