"""Shapes of responses about logins and sessions, for the OpenAPI document only."""

from dataclasses import dataclass

from quartet_users.sessions.session_tokens import Tokens


@dataclass
class LoginDocument:
    """The tokens of a session; durations are seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    session_id: str
    user_id: str

    @classmethod
    def of(cls, tokens: Tokens) -> "LoginDocument":
        """The token response of RFC 6749 section 5.1, with the ids of session and user."""
        return cls(
            tokens.access_token,
            "Bearer",
            tokens.expires_in,
            tokens.refresh_token,
            tokens.refresh_expires_in,
            tokens.scope,
            str(tokens.session_id),
            str(tokens.user_id),
        )


@dataclass
class SessionsQuery:
    """The query parameters of a list of sessions: the user and the page."""

    user: str | None = None
    cursor: str | None = None
    count: int | None = None


@dataclass
class EndQuery:
    """The query parameters of ending sessions: the user, and whether the caller's session stays."""

    user: str | None = None
    others: bool | None = None


@dataclass
class SessionDocument:
    """A session; it ends at `ends_at` unless it is used before, and at `expires_at` in any case."""

    id: str
    user_id: str
    client_id: str
    created_at: str
    last_used_at: str
    ends_at: str
    expires_at: str
    source_address: str | None
    user_agent: str | None
    current: bool


@dataclass
class SessionListDocument:
    """A page of sessions, newest first; `next` is the cursor of the next page, null on the last."""

    sessions: list[SessionDocument]
    next: str | None
