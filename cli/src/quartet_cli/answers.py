"""Asks an API over HTTP and gives what it answers: the one place where commands do so."""

from typing import Any

from quartet_cli.errors import QuartetError

Document = dict[str, Any]


def ask(method: str, url: str, **options: Any) -> tuple[int, Document]:
    """Status and JSON of an answer; `options` are httpx's. Raises QuartetError where none comes.

    The environment's proxies are not used: they would see secrets.
    """
    import httpx  # the commands that ask nothing start a quarter of a second earlier without it

    try:
        answer = httpx.request(method, url, trust_env=False, **{"timeout": 10, **options})
        return answer.status_code, answer.json() if answer.content else {}
    except (httpx.HTTPError, ValueError) as error:
        server = "/".join(url.split("/")[:3])
        raise QuartetError(f"No answer from {server}: {error}") from error


def explained(status: int, answer: Document) -> QuartetError:
    """What a refusal says, for people."""
    return QuartetError(f"{answer.get('detail', answer)} ({status})"[:300])
