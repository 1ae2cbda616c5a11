"""Token answers: what whoever asked for tokens is given, of whichever grant."""

from dataclasses import dataclass

from quartet_users.sessions import Tokens


@dataclass
class TokenDocument:
    """Answer of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


@dataclass
class LoginDocument(TokenDocument):
    """The tokens of a session; durations are seconds."""

    refresh_token: str
    refresh_expires_in: int
    session_id: str
    user_id: str

    @classmethod
    def of(cls, tokens: Tokens) -> "LoginDocument":
        """As RFC 6749 section 5.1 writes it, and whose session it is."""
        return cls(
            tokens.access_token,
            "Bearer",
            tokens.expires_in,
            tokens.scope,
            tokens.refresh_token,
            tokens.refresh_expires_in,
            str(tokens.session_id),
            str(tokens.user_id),
        )
