"""Administration: requests to the API as the administrator of a tenant, with the launcher's own client."""

from typing import Any

from quartet_cli import api_client, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

PAGE = 1000


def list_all(path: str, name: str, tenant: str, url: str | None) -> list[Document]:
    """The items of all pages of a list; `name` is that of the list in a page. Raises QuartetError."""
    found: list[Document] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ask("GET", path, tenant, url, 200, params={"count": PAGE, "cursor": cursor})
        found += page[name]
        cursor = page["next"]
    return found


def ask(method: str, path: str, tenant: str, url: str | None, wanted: int, **options: Any) -> Document:
    """The body of a response with the status `wanted`; `options` are httpx's. Raises QuartetError for another."""
    stack = Stack(home_path())
    target = (url or stack.url).rstrip("/")
    headers = {"Authorization": f"Bearer {tokens.fetch(target, tenant, None, tokens.own_secret(stack.home))}"}
    status, answer = api_client.send(method, target + path, headers=headers, **options)
    if status != wanted:
        raise api_client.error_of(status, answer)
    return answer
