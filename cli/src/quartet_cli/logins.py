"""The commands `login`, `whoami`, `logout`, `profiles`: a user's session, or an API client's secret, in a profile."""

import ipaddress
import json
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from quartet_cli import api_client, profiles, tables, tokens
from quartet_cli.api_client import Document, error_of, send
from quartet_cli.errors import QuartetError
from quartet_cli.layout import IS_CHECKOUT, PROGRAM, home_path
from quartet_cli.profiles import Profile, ProfileName
from quartet_cli.tables import Json

CLIENT: Final = "quartet-cli"
COLUMNS: Final = {"profile": "profile", "url": "url", "tenant": "tenant", "user": "who", "used": "used"}


class SessionOverError(QuartetError):
    """The session has ended on the server."""

    def __init__(self) -> None:
        super().__init__(f"The session has ended. Run: {PROGRAM} login")


def login(
    user: Annotated[str | None, typer.Argument(help="The user's name.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant; default: default, or that of the client.")] = None,
    url: Annotated[str | None, typer.Option(help="URL of the server; in a checkout by default its stack.")] = None,
    profile: ProfileName = None,
    client_id: Annotated[str | None, typer.Option(help="Log in as an API client instead, with its secret.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificates (PEM) that the server's is checked with.")] = None,
) -> None:
    """Log in to a server, as a user or an API client. Password or secret is asked for, or is the first line of standard
    input.
    """
    if (user is None) == (client_id is None):
        raise typer.BadParameter("give the name of a user, or --client-id")
    name = profiles.chosen(profile)
    profiles.path_of(name)  # refuses an invalid name before it asks for a password
    made = Profile(server_url(url), tenant, str(ca.absolute()) if ca else None)
    api_client.trust(made.ca)
    if client_id is not None:
        _log_in_client(made, client_id)
    else:
        _log_in_user(made, str(user))
    with profiles.alone(name):
        profiles.save(name, made)
    print(f"Logged in as {made.who} of tenant {made.tenant} at {made.url}, profile {name}.")
    if IS_CHECKOUT and profile is None:
        print(f"In a checkout, commands use it with --profile {name} or {profiles.VARIABLE}={name}.", file=sys.stderr)


def _log_in_user(made: Profile, user: str) -> None:
    made.user_name, made.tenant = user, made.tenant or "default"
    body = {"tenant": made.tenant, "user_name": user, "password": ask_password("Password: "), "client_id": CLIENT}
    status, answer = send("POST", f"{made.url}/users/login", json=body, ca=made.ca)
    if status == 403 and answer.get("code") == "password_change_required":
        print("The password must be changed.", file=sys.stderr)
        body["new_password"] = ask_password("New password: ")
        status, answer = send("POST", f"{made.url}/users/login", json=body, ca=made.ca)
    if status == 401:
        raise QuartetError(str(answer.get("detail", "The password or the name is wrong.")))
    if status != 200:
        raise error_of(status, answer)
    made.session_id = answer["session_id"]
    made.take(answer)


def _log_in_client(made: Profile, client_id: str) -> None:
    """Check the secret by a token, whose tenant is that of the client."""
    made.client_id, made.client_secret = client_id, ask_password("Client secret: ")
    token = tokens.fetch(made.url, made.tenant, None, made.client_secret, client=client_id, ca=made.ca)
    made.tenant = str(tokens.claims(token).get("tenant"))


def whoami(profile: ProfileName = None, as_json: Json = False) -> None:
    """Show who is logged in, as the server reports it."""
    name = profiles.chosen(profile)
    if (kept := profiles.load(name)).client_id:
        tokens.fetch(kept.url, kept.tenant, None, kept.client_secret, client=kept.client_id, ca=kept.ca)
        shown = {"client_id": kept.client_id, "tenant": kept.tenant, "url": kept.url}
        print(json.dumps(shown) if as_json else f"{kept.who} of {kept.tenant} at {kept.url}")
        return
    kept = current(name)
    headers = {"Authorization": f"Bearer {kept.access_token}"}
    status, me = send("GET", f"{kept.url}/scim/v2/Me", headers=headers, ca=kept.ca)
    if status != 200:
        raise QuartetError(f"The session has ended ({status}). Run: {PROGRAM} login")
    shown = {"userName": me["userName"], "tenant": kept.tenant, "url": kept.url, "id": me["id"]}
    shown["session_id"] = kept.session_id
    text = "{userName} of {tenant} at {url}, id {id}, session {session_id}".format(**shown)
    print(json.dumps(shown) if as_json else text)


def logout(profile: ProfileName = None) -> None:
    """End the session and remove the profile, also if the server does not end the session."""
    name = profiles.chosen(profile)
    with profiles.alone(name):
        kept = profiles.load(name)
        try:
            if not kept.client_id:
                end(name, kept)
        except QuartetError as error:
            raise QuartetError(
                f"The tokens of {kept.user_name} are removed here, but the session at {kept.url} may go on: {error}"
            ) from error
        finally:
            profiles.remove(name)
    print(f"Logged out {kept.who}.")


def list_profiles(as_json: Json = False) -> None:
    """List the servers of `login`."""
    rows = []
    for name in profiles.names():
        found, mark = profiles.load(name), "by default" if name == profiles.by_default() else None
        rows.append({"profile": name, "url": found.url, "tenant": found.tenant, "who": found.who, "used": mark})
    tables.show(rows, COLUMNS, as_json=as_json)


def end(name: str, kept: Profile) -> None:
    """End a session on its server. Raises QuartetError if the server does not confirm it."""
    try:
        if not kept.is_fresh:
            refresh(name, kept)
        status, answer = _delete(kept)
        if status == 401:  # refused before its expiry: the session has ended, or its scopes have changed
            refresh(name, kept)
            status, answer = _delete(kept)
    except SessionOverError:
        return
    if status not in (204, 404):
        raise error_of(status, answer)


def _delete(kept: Profile) -> tuple[int, Document]:
    headers = {"Authorization": f"Bearer {kept.access_token}"}
    return send("DELETE", f"{kept.url}/users/sessions/{kept.session_id}", headers=headers, ca=kept.ca)


def current(name: str, after: str | None = None) -> Profile:
    """The session with a valid access token, refreshed if needed, or if the token is still `after`, which the server
    has refused. Raises QuartetError if the session has ended.
    """
    if (kept := profiles.load(name)).is_fresh and kept.access_token != after:
        return kept
    with profiles.alone(name):
        kept = profiles.load(name)  # again under the lock: another command may have refreshed or ended it
        if not kept.is_fresh or kept.access_token == after:
            refresh(name, kept)
    return kept


def refresh(name: str, kept: Profile) -> None:
    """Get new tokens and store them. Raises SessionOverError, and QuartetError for other errors."""
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": kept.refresh_token}
    status, answer = send("POST", f"{kept.url}/oauth2/token", data=form, ca=kept.ca)
    if answer.get("error") == "invalid_grant":
        raise SessionOverError
    if status != 200:
        raise QuartetError(f"Cannot refresh the session at {kept.url}: {answer.get('error_description', status)}")
    kept.take(answer)
    profiles.save(name, kept)


def server_url(url: str | None) -> str:
    """The URL to log in to; without one, that of the checkout's stack. Raises QuartetError for one that shows the
    password to others.
    """
    if url is None and IS_CHECKOUT:
        from quartet_cli.stack import Stack  # which takes a quarter of a second

        return Stack(home_path()).url
    try:
        parts = urlsplit(url or "")
        is_server = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        is_server = False
    if not is_server or parts.query or parts.fragment or parts.username:
        raise QuartetError(f"--url must be the URL of a server, such as https://quartet.example.com, got {url!r}")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise QuartetError(f"{url} would send the password without TLS. Use https://{parts.netloc}")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ask_password(prompt: str) -> str:
    """The password from the terminal, or the next line of standard input; never an argument, which all processes of the
    machine could read.
    """
    return getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
