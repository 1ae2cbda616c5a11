"""Administration: asks the API for a tenant, as its administrator, with the launcher's own client."""

from typing import Any

from quartet_cli import api_client, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack


def ask(method: str, path: str, tenant: str, url: str | None, wanted: int, **options: Any) -> Document:
    """The answer, whose status must be `wanted`; `options` are httpx's. Raises QuartetError with what it says else."""
    stack = Stack(home_path())
    target = (url or stack.url).rstrip("/")
    headers = {"Authorization": f"Bearer {tokens.fetch(target, tenant, None, tokens.own_secret(stack.home))}"}
    status, answer = api_client.send(method, target + path, headers=headers, **options)
    if status != wanted:
        raise api_client.error_of(status, answer)
    return answer
