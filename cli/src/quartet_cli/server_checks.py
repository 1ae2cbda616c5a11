"""Checks of a server for `doctor`: reachable, certificate, clock, version, token, and the health of each service."""

import math
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from quartet_cli import api_client, tokens
from quartet_cli.api import Api
from quartet_cli.errors import QuartetError
from quartet_cli.layout import PROGRAM, SERVICES

OK, WARNING, PROBLEM = "ok", "warning", "problem"
TIMEOUT: Final = 10.0
MAX_SKEW: Final = 30.0
"""Seconds by which clocks may differ: tokens and assertions of clients allow no more (docs/identity.md)."""
RENEWAL: Final = 14.0
"""Days before its end from which on a certificate should have been renewed."""


@dataclass(frozen=True)
class Finding:
    """What a check has found; `result` is ok, warning or problem. After a final one, later checks are of no use."""

    check: str
    result: str
    text: str
    advice: str = ""
    is_final: bool = False

    @property
    def row(self) -> dict[str, str]:
        """The finding for a table."""
        return {"result": self.result, "check": self.check, "text": self.text, "advice": self.advice}


def run(find: Callable[[], Api]) -> list[Finding]:
    """Check the server of `find`, which may raise QuartetError."""
    try:
        api = find()
        begun = time.time()
        answer = _ask(api, "/users/health/live")
    except QuartetError as error:
        return [Finding("server", PROBLEM, str(error), is_final=True)]
    found = [Finding("server", OK, f"{api.url} answers after {(time.time() - begun) * 1000:.0f} ms")]
    if answer.status_code != 200:
        text = f"{api.url}/users/health/live sent {answer.status_code}"
        found = [Finding("server", PROBLEM, text, "Is this the URL of Quartet, and does the users service run?")]
    return [
        *found,
        *_certificate(api),
        clock(answer.headers.get("Date"), begun, time.time()),
        *_version(api),
        _token(api),
        *(_health(api, service) for service in SERVICES),
    ]


def _certificate(api: Api) -> list[Finding]:
    """The end of the server's certificate, which the first request has verified."""
    parts = urlsplit(api.url)
    if parts.scheme != "https":
        return []
    context = api_client.trust(api.profile.ca)
    verified = context if isinstance(context, ssl.SSLContext) else ssl.create_default_context()
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), TIMEOUT) as connection,
            verified.wrap_socket(connection, server_hostname=host) as secured,
        ):
            ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
    except (OSError, KeyError) as error:
        return [Finding("certificate", PROBLEM, str(error))]
    return [expiry((ends - time.time()) / 86400)]


def expiry(days: float) -> Finding:
    """The finding for a certificate that ends in `days`."""
    text = f"valid for {math.floor(days)} days"
    if days < RENEWAL:
        return Finding("certificate", WARNING, text, "Renew it; docs/tls.md says how it is read again.")
    return Finding("certificate", OK, text)


def clock(date: str | None, begun: float, ended: float) -> Finding:
    """Compare the server's time, in a header with whole seconds, with the time here before and after the request."""
    try:
        server = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Finding("clock", WARNING, f"the server sent no time, but {date!r}")
    skew = begun - server - 1 if begun - server > 1 else min(ended - server, 0.0)
    if abs(skew) <= MAX_SKEW:
        return Finding("clock", OK, "the same here and there" if abs(skew) < 2 else f"differs by {abs(skew):.0f} s")
    text = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    return Finding("clock", PROBLEM, text, "Synchronise both clocks (NTP): tokens are refused from 30 s on.")


def _version(api: Api) -> list[Finding]:
    try:
        theirs = str(_ask(api, "/users/openapi.json").json()["info"]["version"])
    except (QuartetError, ValueError, KeyError):
        return [Finding("version", WARNING, "the server does not say its version")]
    own = version("quartet-cli")
    if theirs != own:
        return [Finding("version", WARNING, f"server {theirs}, this command {own}", "Use the same version of both.")]
    return [Finding("version", OK, own)]


def _token(api: Api) -> Finding:
    try:
        claims = tokens.claims(api.token())
        status, answer = api.send("GET", "/scim/v2/ServiceProviderConfig")
        if status == 401:
            raise api_client.error_of(status, answer)
    except QuartetError as error:
        return Finding("token", PROBLEM, str(error), f"Log in again: {PROGRAM} login")
    return Finding("token", OK, f"tenant {claims.get('tenant')}, scopes: {claims.get('scope') or 'none'}")


def _health(api: Api, service: str) -> Finding:
    try:
        answer = _ask(api, f"/{service}/health/ready")
        document = answer.json()
    except QuartetError as error:
        return Finding(service, PROBLEM, str(error))
    except ValueError:
        document = {}
    if answer.status_code == 200:
        return Finding(service, OK, "ready")
    reasons = document.get("reasons", {}) if isinstance(document, dict) else {}
    down = ", ".join(f"{name} {reason}" for name, reason in reasons.items())
    text = f"{answer.status_code}: {down or 'the service does not answer'}"
    return Finding(service, PROBLEM, text, "docs/operations.md, Problems")


def _ask(api: Api, path: str) -> Any:
    """The response to a GET without a token, as httpx has it. Raises QuartetError."""
    import httpx  # see api_client

    try:
        return httpx.get(api.url + path, trust_env=False, verify=api_client.trust(api.profile.ca), timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise api_client.no_answer(api.url, error) from error
