"""Prints a bearer token of a stack in containers and nothing else: `docker compose run --rm token --tenant acme`."""

import argparse
import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPResponse
from pathlib import Path

CLIENT = "quartet-admin"
PLATFORM = "quartet"
SECRET = Path("/run/secrets/quartet_client_secret")


def connect(request: urllib.request.Request) -> HTTPResponse:
    """The answer of the users service; with TLS as configured for the services. Raises OSError."""
    setting = os.environ.get
    context = ssl.create_default_context(cafile=setting("QUARTET_TRUST") or None)
    if setting("QUARTET_CERTFILE"):
        context.load_cert_chain(os.environ["QUARTET_CERTFILE"], setting("QUARTET_KEYFILE") or None)
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=10, context=context)  # noqa: S310  # nosec B310  # the stack's own
    return answer


def request_token(url: str, secret: str, tenant: str, scope: str | None) -> str:
    """A token for one tenant by client credentials (RFC 6749, section 4.4); all scopes of the client if none is named.

    Raises OSError when the users service cannot be reached or refuses.
    """
    form = {"grant_type": "client_credentials", "tenant": tenant} | ({"scope": scope} if scope else {})
    basic = base64.b64encode(f"{CLIENT}:{urllib.parse.quote_plus(secret)}".encode()).decode()  # RFC 6749 section 2.3.1
    request = urllib.request.Request(  # noqa: S310  # the address is the stack's own
        f"{url}/oauth2/token", urllib.parse.urlencode(form).encode(), {"Authorization": f"Basic {basic}"}
    )
    with connect(request) as answer:
        return str(json.load(answer)["access_token"])


def make_tenant(url: str, secret: str, tenant: str) -> None:
    """Make the tenant, without an administrator; one that is there already stays as it is. Raises OSError."""
    bearer = request_token(url, secret, PLATFORM, "platform:admin")
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    request = urllib.request.Request(  # noqa: S310  # the address is the stack's own
        f"{url}/users/tenants", json.dumps({"id": tenant}).encode(), headers
    )
    try:
        connect(request).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise


def explain(error: urllib.error.HTTPError, tenant: str) -> str:
    """Why the users service refused: its own words, and what to do."""
    try:
        answer = json.load(error)
        reason = answer.get("error_description") or answer.get("detail") or answer
    except (ValueError, AttributeError):
        return f"status {error.code}"
    hint = " To create the tenant, add --create." if answer.get("error") == "invalid_request" else ""
    return f"{reason} (tenant {tenant}, status {error.code}){hint}"


def main(arguments: Sequence[str]) -> int:
    """0 and the token, or 1 and the reason why there is none."""
    parser = argparse.ArgumentParser(prog="token", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--scope", help="scopes, separated by spaces; default: all")
    parser.add_argument("--create", action="store_true", help="create the tenant first if it does not exist")
    parser.add_argument("--url", default=os.environ.get("QUARTET_USERS_URL"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        secret = SECRET.read_text().strip()
        if options.create:
            make_tenant(options.url, secret, options.tenant)
        token = request_token(options.url, secret, options.tenant, options.scope)
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"No token: {explain(error, options.tenant)}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"No token: {error}. If the stack is not running, run: docker compose up -d\n")
        return 1
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
