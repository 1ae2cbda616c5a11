"""Profiles: the servers that a person has logged in to, one private file each in the user's configuration folder."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quartet_cli.errors import QuartetError
from quartet_cli.layout import IS_CHECKOUT, PROGRAM

DEFAULT: Final = "default"
VARIABLE: Final = "QUARTET_PROFILE"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
EARLY: Final = 30
"""Seconds before its expiry in which an access token is not used."""


class NoProfileError(QuartetError):
    """There is no such profile."""

    def __init__(self, name: str) -> None:
        others = ", ".join(names())
        known = f" The profiles are: {others}." if others else ""
        super().__init__(f"Not logged in: there is no profile {name}.{known} Run: {PROGRAM} login --url URL USER")


@dataclass
class Profile:
    """A server, and a user's session there or an API client's secret. `expires_at` (seconds since the epoch) is that of
    the session's access token; `ca` is a file with certificates (PEM).
    """

    url: str
    tenant: str | None
    ca: str | None = None
    client_id: str = ""
    client_secret: str = ""
    user_name: str = ""
    session_id: str = ""
    access_token: str = ""
    expires_at: float = 0
    refresh_token: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the access token of the session is valid for some seconds."""
        return self.expires_at > time.time() + EARLY

    @property
    def who(self) -> str:
        """The user or the client, for people."""
        return f"client {self.client_id}" if self.client_id else self.user_name

    def take(self, tokens: dict[str, Any]) -> None:
        """Set the tokens of a token response."""
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.expires_at = time.time() + tokens["expires_in"]


def by_default() -> str | None:
    """The profile that commands use without --profile: that of QUARTET_PROFILE, else `default`, and none in a checkout,
    where they use its stack.
    """
    return os.environ.get(VARIABLE) or (None if IS_CHECKOUT else DEFAULT)


def chosen(name: str | None) -> str:
    """The profile of logins: the given one, that of QUARTET_PROFILE, or `default`."""
    return name or by_default() or DEFAULT


def names() -> list[str]:
    """The names of all profiles."""
    return sorted(path.stem for path in folder().glob("*.json") if NAME.fullmatch(path.stem))


def load(name: str) -> Profile:
    """The profile of that name. Raises NoProfileError, and QuartetError if it cannot be read."""
    path = path_of(name)
    try:
        return Profile(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise NoProfileError(name) from None
    except OSError as error:
        raise QuartetError(f"The profile {name} cannot be read: {error}") from error
    except (ValueError, TypeError):
        raise QuartetError(f"{path} is damaged. Run: {PROGRAM} login") from None


def save(name: str, profile: Profile) -> None:
    """Write a profile atomically, with mode 0600 in a folder with mode 0700."""
    path = path_of(name)
    _prepare()
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(profile), file)
    new.replace(path)


def remove(name: str) -> None:
    """Remove a profile, if it is there."""
    path_of(name).unlink(missing_ok=True)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Lock a profile: if two commands sent the same refresh token, the session would end (RFC 9700 4.14.2)."""
    lock = path_of(name).with_suffix(".lock")
    _prepare()
    with os.fdopen(os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def folder() -> Path:
    """`quartet` in XDG_CONFIG_HOME, which must be absolute (XDG Base Directory Specification), else in ~/.config."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".config") / "quartet"


def path_of(name: str) -> Path:
    """The file of a profile. Raises QuartetError for an invalid name."""
    if NAME.fullmatch(name) is None:
        raise QuartetError(
            f"A profile's name has up to 63 letters, digits, dots, hyphens and underscores, got {name!r}"
        )
    return folder() / f"{name}.json"


def _prepare() -> None:
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        folder().chmod(0o700)
    except OSError as error:
        raise QuartetError(f"Profiles cannot be stored: {error}") from error


ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help=f"A server of `login`; default: {VARIABLE}.", autocompletion=names),
]
