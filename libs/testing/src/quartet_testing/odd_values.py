"""Odd values in every place of every route: whatever a client sends, it is never a failure of the server."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from quart import Quart

from quartet_testing.openapi import FORM, Example, Places
from quartet_testing.services import RunningService

IN_ADDRESS = [
    "a%00b", "%ED%A0%80", "%", "%0d%0a", "-1", str(2**63), "9" * 40, "9999-12-31T23:59:59-15:59", "x" * 3000, "",
]  # fmt: skip
"""As they stand in a path or a query, percent-encoded."""
IN_BODY: list[Any] = [
    "a\0b", "\ud800", "", "x" * 70_000, "9999-12-31T23:59:59-15:59", -1, 2**63, 10**40, 1e308, True, None, [], {},
    [None], {"\0": "\0"},
]  # fmt: skip
FIRST = "harmless"
FINE = {501, 503}
"""What a server may say of a feature that it does not have, and of a server that the test does not run."""


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    media: str = "application/json"


async def find_failures(
    running: RunningService, headers: Mapping[str, str], examples: Mapping[Example, Any] | None = None
) -> list[str]:
    """The requests that a service fails to answer, of one for every odd value in every place of every route.

    `examples` are bodies that the service takes, where the schemas of its OpenAPI document make none.
    """
    service = running.container.config.service
    document = await (await running.client.get(f"/{service}/openapi.json")).get_json(force=True)
    failures = []
    for sent in requests(running.app, document, examples or {}):
        more = {} if sent.body is None else {"Content-Type": sent.media}
        answer = await running.client.open(  # type: ignore[call-arg]  # the protocol lacks the default of `json`
            sent.path, method=sent.method, headers={**headers, **more}, data=sent.body or b""
        )
        if answer.status_code >= 500 and answer.status_code not in FINE:
            failures.append(f"{answer.status_code} {sent.method} {sent.path[:100]} {(sent.body or b'')[:300]!r}")
    return failures


def requests(app: Quart, document: Mapping[str, Any], examples: Mapping[Example, Any]) -> Iterator[Sent]:
    """Requests to every route, each with one odd value."""
    bodies = {(place.method, place.path): place for place in Places(document, examples) if place.body is not None}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for name in re.findall(r"{(\w+)}", path):
                yield from (Sent(method, _filled(path, {name: odd})) for odd in IN_ADDRESS)
            if method == "GET":
                yield from _queries(_filled(path, {}), _documented(document, path))
            place = bodies.get((method.lower(), path))
            if place is not None:
                media = place.media or "application/json"
                yield from (Sent(method, _filled(path, {}), body, media) for body in _bodies(place.body, media))


def _queries(path: str, documented: list[str]) -> Iterator[Sent]:
    for name in documented:
        yield from (Sent("GET", f"{path}?{name}={odd}") for odd in IN_ADDRESS)


def _documented(document: Mapping[str, Any], path: str) -> list[str]:
    operation = document["paths"].get(path, {}).get("get", {})
    return [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]


def _filled(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: values.get(found[1], FIRST), path)


def _bodies(body: Any, media: str) -> Iterator[bytes]:
    for way in _ways(body):
        for odd in IN_BODY:
            if media == FORM:
                if isinstance(odd, str) and odd.isascii():
                    fields = {**body, str(way[0]): odd}
                    yield "&".join(f"{name}={quote(str(value))}" for name, value in fields.items()).encode()
                continue
            changed = copy.deepcopy(body)
            holder = changed
            for step in way[:-1]:
                holder = holder[step]
            holder[way[-1]] = odd
            yield json.dumps(changed).encode()


def _ways(body: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in the body, objects and lists included."""
    if way:
        yield way
    entries = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in entries:
        yield from _ways(value, (*way, key))
