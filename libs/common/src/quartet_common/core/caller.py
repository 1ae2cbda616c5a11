"""The caller: on whose behalf a change is made, and from where."""

import re
from dataclasses import dataclass
from typing import NamedTuple

USER, CLIENT, SERVICE, ANONYMOUS = "user", "client", "service", "anonymous"
"""The types of actors: a person, an API client or SCIM token, one of our own services, an unknown caller."""
MAX_ACTOR_NAME = 128
MAX_USER_AGENT = 256
"""Characters of a name and of a user agent that are recorded; what is longer is cut."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class RequestOrigin(NamedTuple):
    """From where a request came."""

    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class Caller:
    """On whose behalf a command runs: from the token and the request, or from the event that caused it.

    `scopes` are those of the access token; empty outside of requests. `actor_name` is the userName of a person or the
    name of a client when the token was issued, `actor_type` one of USER, CLIENT, SERVICE and ANONYMOUS; None where they
    are unknown.
    """

    tenant: str
    actor: str
    source_address: str | None = None
    scopes: frozenset[str] = frozenset()
    actor_name: str | None = None
    actor_type: str | None = None
    user_agent: str | None = None

    @classmethod
    def service(cls, tenant: str, client_id: str) -> "Caller":
        """A service that acts for itself, by the id of its own client."""
        return cls(tenant, client_id, actor_type=SERVICE)


def cut(text: str, limit: int) -> str | None:
    """`text` without control characters, cut to `limit` characters; None if nothing is left."""
    return CONTROL.sub("", text)[:limit] or None
