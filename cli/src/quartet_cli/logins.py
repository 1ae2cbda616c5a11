"""The commands `login`, `whoami`, `logout`: a person's own session, whose tokens lie in the home for its owner only."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from quartet_cli.api_client import Document, error_of, send
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home, home_path
from quartet_cli.stack import Stack

CLIENT = "quartet-cli"
EARLY = 30
"""Seconds before its end from which an access token is not relied on."""

Url = Annotated[str | None, typer.Option(help="URL of another stack.")]


class SessionOverError(QuartetError):
    """The server knows the session no more."""

    def __init__(self) -> None:
        super().__init__("The session has ended. Run: ./quartet login")


@dataclass
class Kept:
    """A session that somebody has begun here; `expires_at` (seconds since the epoch) is of the access token."""

    url: str
    tenant: str
    user_name: str
    session_id: str
    access_token: str
    expires_at: float
    refresh_token: str

    @classmethod
    def load(cls, path: Path) -> "Kept":
        """The session kept in `path`. QuartetError where there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise QuartetError("Not logged in. Run: ./quartet login --tenant TENANT USER") from None
        except (ValueError, TypeError):
            raise QuartetError(f"{path} is damaged. Run: ./quartet login") from None

    def save(self, path: Path) -> None:
        """Write the session, for its owner only from the first byte on, and never half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)
        new.replace(path)

    @property
    def is_fresh(self) -> bool:
        """Whether the access token can be relied on for a while."""
        return self.expires_at > time.time() + EARLY

    def take(self, tokens: dict[str, Any]) -> None:
        """Take the tokens of an answer."""
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.expires_at = time.time() + tokens["expires_in"]


def login(
    user: Annotated[str, typer.Argument(help="The user's name.")],
    tenant: Annotated[str, typer.Option(help="The tenant that the user belongs to.")] = "default",
    url: Url = None,
) -> None:
    """Log in as a user. The password is asked for, or is the first line of standard input."""
    target = (url or Stack(home_path()).url).rstrip("/")
    body = {"tenant": tenant, "user_name": user, "password": ask_password("Password: "), "client_id": CLIENT}
    status, answer = send("POST", f"{target}/users/login", json=body)
    if status == 403 and answer.get("code") == "password_change_required":
        print("The password must be changed.", file=sys.stderr)
        body["new_password"] = ask_password("New password: ")
        status, answer = send("POST", f"{target}/users/login", json=body)
    if status != 200:
        raise QuartetError(str(answer.get("detail", f"{target} answered {status}")))
    kept = Kept(target, tenant, user, answer["session_id"], "", 0, "")
    kept.take(answer)
    with alone():
        kept.save(path())
    print(f"Logged in as {user} of tenant {tenant}.")


def whoami() -> None:
    """Show which user is logged in, as the server reports it."""
    kept = current()
    status, me = send("GET", f"{kept.url}/scim/v2/Me", headers={"Authorization": f"Bearer {kept.access_token}"})
    if status != 200:
        raise QuartetError(f"The session has ended ({status}). Run: ./quartet login")
    print(f"{me['userName']} of {kept.tenant} at {kept.url}, id {me['id']}, session {kept.session_id}")


def logout() -> None:
    """End the session and remove its tokens, also if the server does not end the session."""
    with alone():
        kept = Kept.load(path())
        try:
            end(kept)
        except QuartetError as error:
            raise QuartetError(
                f"The tokens of {kept.user_name} are removed here, but the session at {kept.url} may go on: {error}"
            ) from error
        finally:
            path().unlink(missing_ok=True)
    print(f"Logged out {kept.user_name}.")


def end(kept: Kept) -> None:
    """End a session at its server. QuartetError where the server does not say that it is over."""
    try:
        if not kept.is_fresh:
            refresh(kept)
        status, answer = _delete(kept)
        if status == 401:  # refused before its time: the session is over, or its scopes have changed
            refresh(kept)
            status, answer = _delete(kept)
    except SessionOverError:
        return
    if status not in (204, 404):
        raise error_of(status, answer)


def _delete(kept: Kept) -> tuple[int, Document]:
    headers = {"Authorization": f"Bearer {kept.access_token}"}
    return send("DELETE", f"{kept.url}/users/sessions/{kept.session_id}", headers=headers)


def path() -> Path:
    """Where the session is kept."""
    return Home(home_path()).login_file


@contextmanager
def alone() -> Iterator[None]:
    """One command at a time changes the session, which a refresh token ends that is sent twice (RFC 9700 4.14.2)."""
    path().parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(Home(home_path()).login_lock, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def current() -> Kept:
    """The session with an access token that is good for a while. QuartetError where it is over."""
    if (kept := Kept.load(path())).is_fresh:
        return kept
    with alone():
        kept = Kept.load(path())  # another command may have refreshed it, or ended it, meanwhile
        if not kept.is_fresh:
            refresh(kept)
    return kept


def refresh(kept: Kept) -> None:
    """Get new tokens and keep them. SessionOverError where the server says so, QuartetError where it gives none."""
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": kept.refresh_token}
    status, answer = send("POST", f"{kept.url}/oauth2/token", data=form)
    if answer.get("error") == "invalid_grant":
        raise SessionOverError
    if status != 200:
        raise QuartetError(f"Cannot refresh the session at {kept.url}: {answer.get('error_description', status)}")
    kept.take(answer)
    kept.save(path())


def ask_password(prompt: str) -> str:
    """What is typed, unseen; without a terminal the next line of the standard input. It is never an argument, which
    every process of the machine could read.
    """
    return getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
