"""The HTTP client of the commands: sends requests and converts errors."""

from typing import Any

from quartet_cli.errors import QuartetError

Document = dict[str, Any]


def send(method: str, url: str, **options: Any) -> tuple[int, Document]:
    """Status and JSON of the response; `options` are httpx's. Raises QuartetError without one.

    Proxies of the environment are not used, since they would see secrets.
    """
    import httpx  # commands without requests start a quarter of a second earlier

    try:
        answer = httpx.request(method, url, trust_env=False, **{"timeout": 10, **options})
        return answer.status_code, answer.json() if answer.content else {}
    except (httpx.HTTPError, ValueError) as error:
        server = "/".join(url.split("/")[:3])
        raise QuartetError(f"No answer from {server}: {error}") from error


def error_of(status: int, answer: Document) -> QuartetError:
    """The error of a refused request."""
    return QuartetError(f"{answer.get('detail', answer)} ({status})"[:300])
