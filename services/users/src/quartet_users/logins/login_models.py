"""Shapes of the requests of logins and password changes."""

from dataclasses import dataclass


@dataclass
class LoginRequest:
    """The name and password of a user; `new_password` replaces the password after the login."""

    tenant: str
    user_name: str
    password: str
    client_id: str = "quartet-cli"
    new_password: str | None = None


@dataclass
class PasswordRequest:
    """A change of the caller's own password."""

    old_password: str
    new_password: str
