"""The caller: on whose behalf something is changed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """On whose behalf something is done: taken from the token and the request, or from the event that caused it.

    `scopes` are those of the access token; empty where no request is running.
    """

    tenant: str
    actor: str
    source_address: str | None = None
    scopes: frozenset[str] = frozenset()
