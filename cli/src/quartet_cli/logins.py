"""The commands `login`, `whoami`, `logout`: the session of a user, with its tokens in a private file of the home."""

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
"""Seconds before its expiry in which an access token is not used."""

Url = Annotated[str | None, typer.Option(help="URL of another stack.")]


class SessionOverError(QuartetError):
    """The session has ended on the server."""

    def __init__(self) -> None:
        super().__init__("The session has ended. Run: ./quartet login")


@dataclass
class Kept:
    """The stored session; `expires_at` (seconds since the epoch) is that of the access token."""

    url: str
    tenant: str
    user_name: str
    session_id: str
    access_token: str
    expires_at: float
    refresh_token: str

    @classmethod
    def load(cls, path: Path) -> "Kept":
        """The session stored in `path`. Raises QuartetError if there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise QuartetError("Not logged in. Run: ./quartet login --tenant TENANT USER") from None
        except (ValueError, TypeError):
            raise QuartetError(f"{path} is damaged. Run: ./quartet login") from None

    def save(self, path: Path) -> None:
        """Write the session atomically, with mode 0600."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)
        new.replace(path)

    @property
    def is_fresh(self) -> bool:
        """Whether the access token is valid for some seconds."""
        return self.expires_at > time.time() + EARLY

    def take(self, tokens: dict[str, Any]) -> None:
        """Set the tokens of a token response."""
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
    """End a session on its server. Raises QuartetError if the server does not confirm it."""
    try:
        if not kept.is_fresh:
            refresh(kept)
        status, answer = _delete(kept)
        if status == 401:  # refused before its expiry: the session has ended, or its scopes have changed
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
    """The path of the stored session."""
    return Home(home_path()).login_file


@contextmanager
def alone() -> Iterator[None]:
    """Lock the session: if two commands sent the same refresh token, the session would end (RFC 9700 4.14.2)."""
    path().parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(Home(home_path()).login_lock, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def current() -> Kept:
    """The session with a valid access token, refreshed if needed. Raises QuartetError if it has ended."""
    if (kept := Kept.load(path())).is_fresh:
        return kept
    with alone():
        kept = Kept.load(path())  # again under the lock: another command may have refreshed or ended it
        if not kept.is_fresh:
            refresh(kept)
    return kept


def refresh(kept: Kept) -> None:
    """Get new tokens and store them. Raises SessionOverError, and QuartetError for other errors."""
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": kept.refresh_token}
    status, answer = send("POST", f"{kept.url}/oauth2/token", data=form)
    if answer.get("error") == "invalid_grant":
        raise SessionOverError
    if status != 200:
        raise QuartetError(f"Cannot refresh the session at {kept.url}: {answer.get('error_description', status)}")
    kept.take(answer)
    kept.save(path())


def ask_password(prompt: str) -> str:
    """The password from the terminal, or the next line of standard input; never an argument, which all processes of the
    machine could read.
    """
    return getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
