"""Administration: asks the API for a tenant, as its administrator, with the launcher's own client."""

from typing import Any

from quartet_cli import tokens
from quartet_cli.errors import QuartetError
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack


def ask(method: str, path: str, tenant: str, url: str | None, wanted: int, **options: Any) -> dict[str, Any]:
    """The answer, whose status must be `wanted`; `options` are httpx's. Raises QuartetError with what it says else."""
    import httpx  # the commands that ask nothing start a quarter of a second earlier without it

    stack = Stack(home_path())
    target = (url or stack.url).rstrip("/")
    headers = {"Authorization": f"Bearer {tokens.fetch(target, tenant, None, tokens.own_secret(stack.home))}"}
    try:
        answer = httpx.request(method, target + path, headers=headers, timeout=10, trust_env=False, **options)
    except httpx.HTTPError as error:
        raise QuartetError(f"{target} does not answer: {error}") from error
    if answer.status_code != wanted:
        raise QuartetError(f"{path} answers {answer.status_code}: {answer.text[:300]}")
    return dict(answer.json()) if answer.content else {}
