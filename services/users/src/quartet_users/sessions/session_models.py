"""The shapes of logins and sessions, for the OpenAPI document only."""

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
        """As RFC 6749 section 5.1 writes it, and whose session it is."""
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
    """Whose sessions, and which page of them."""

    user: str | None = None
    cursor: str | None = None
    count: int | None = None


@dataclass
class EndQuery:
    """Which sessions: of whom, and whether the one that asks stays."""

    user: str | None = None
    others: bool | None = None


@dataclass
class SessionDocument:
    """A session; `ends_at` is when it is over unless it is used before, `expires_at` when it is in any case."""

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
    """Sessions, newest first, and the cursor of the next page."""

    sessions: list[SessionDocument]
    next: str | None
