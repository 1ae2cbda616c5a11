"""The HTTP client of the commands: sends requests and converts errors."""

import ssl
from typing import Any, Final

from quartet_cli.errors import QuartetError
from quartet_cli.layout import PROGRAM

Document = dict[str, Any]

RETRY: Final = "retry-after"
"""The member of a document of `send` with the seconds to wait, from the header of a refusal."""
HINTS: Final = {
    401: f"Log in again: {PROGRAM} login",
    403: "Use a user or a client with the scope that is named.",
    502: f"Look for the reason: {PROGRAM} doctor",
    503: f"Repeat the command, or look for the reason: {PROGRAM} doctor",
    504: f"Repeat the command, or look for the reason: {PROGRAM} doctor",
}
"""What to do after a refusal, by its status."""


def send(method: str, url: str, *, ca: str | None = None, **options: Any) -> tuple[int, Document]:
    """Status and JSON of the response; `ca` is a file with certificates (PEM), `options` are httpx's. Raises
    QuartetError without a response.

    Proxies of the environment are not used, since they would see secrets.
    """
    import httpx  # commands without requests start a quarter of a second earlier

    try:
        answer = httpx.request(method, url, trust_env=False, **{"verify": trust(ca), "timeout": 10, **options})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise no_answer(url, error) from error
    try:
        document = answer.json() if answer.content else {}
        if (wait := answer.headers.get("Retry-After")) and answer.status_code >= 400:
            document[RETRY] = wait
        return answer.status_code, document
    except ValueError as error:
        raise QuartetError(
            f"{server_of(url)} sent {answer.status_code} without JSON. Is this the URL of Quartet?"
        ) from error


def trust(ca: str | None) -> ssl.SSLContext | bool:
    """What certificates of servers are checked with, as httpx takes it. Raises QuartetError."""
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise QuartetError(f"{ca} is not a file with certificates (PEM): {error}") from error


def server_of(url: str) -> str:
    """The scheme, host and port of a URL."""
    return "/".join(url.split("/")[:3])


def no_answer(url: str, error: Exception) -> QuartetError:
    """The error of a request without a response."""
    hint = ""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = " For a certificate of your own authority, log in with --ca FILE."
    return QuartetError(f"No answer from {server_of(url)}: {str(error) or type(error).__name__}{hint}")


def error_of(status: int, answer: Document) -> QuartetError:
    """The error of a refused request: its text, its status and what to do."""
    text = f"{answer.get('detail', answer)} ({status})"[:300]
    hint = f"Repeat the command in {answer[RETRY]} s." if RETRY in answer else HINTS.get(status, "")
    return QuartetError(f"{text} {hint}".rstrip())
