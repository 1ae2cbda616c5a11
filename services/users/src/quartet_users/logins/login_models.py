"""Request bodies of logins and of changes of passwords."""

from dataclasses import dataclass


@dataclass
class LoginRequest:
    """A person's name and password; a `new_password` takes the place of the one that was right."""

    tenant: str
    user_name: str
    password: str
    client_id: str = "quartet-cli"
    new_password: str | None = None


@dataclass
class PasswordRequest:
    """A new password of one's own."""

    old_password: str
    new_password: str
