"""OpenAPI: every place of a service's document into which a client may write a text, and a request for each."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

METHODS = ("get", "post", "put", "patch", "delete")
FORM = "application/x-www-form-urlencoded"
DEEPEST = 6
"""Levels of a body that are looked through; schemas may hold themselves."""

Example = tuple[str, str]
"""Method and path, as the document names them."""


@dataclass(frozen=True)
class Place:
    """Where a text can be written: a parameter by its name, or a value of the body by the way to it."""

    method: str
    path: str
    where: str
    name: str
    way: tuple[str | int, ...] = ()
    parameters: tuple[str, ...] = ()
    """Names of the parameters in the path."""
    body: Any = None
    media: str | None = None

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path} {self.where}:{self.name}"

    def request(self, text: str, other: str) -> dict[str, Any]:
        """Arguments for httpx's `request`: `text` stands in this place, `other` in those that cannot be left out."""
        path = self.path
        for name in self.parameters:
            chosen = text if (self.where, self.name) == ("path", name) else other
            path = path.replace(f"{{{name}}}", quote(chosen, safe=""))
        made: dict[str, Any] = {"method": self.method.upper(), "url": path}
        if self.where == "query":
            made["params"] = {self.name: text}
        if self.body is not None:
            body = copy.deepcopy(self.body)
            if self.way:
                _put(body, self.way, text)
            made |= {"data": body} if self.media == FORM else {"json": body}
        return made


@dataclass
class Places:
    """The places of one document. `examples` are bodies that the service takes, where the schema alone makes none."""

    document: Mapping[str, Any]
    examples: Mapping[Example, Any] = field(default_factory=dict)
    text: str = "harmless"

    def __iter__(self) -> Iterator[Place]:
        for path, operations in self.document["paths"].items():
            for method in METHODS:
                if method in operations:
                    yield from self._of(path, method, operations[method])

    def _of(self, path: str, method: str, operation: Mapping[str, Any]) -> Iterator[Place]:
        given = operation.get("parameters", [])
        names = tuple(one["name"] for one in given if one["in"] == "path")
        media, body = self._body(path, method, operation.get("requestBody", {}).get("content", {}))
        fixed: dict[str, Any] = {"parameters": names, "body": body, "media": media}
        for one in given:
            yield Place(method, path, one["in"], one["name"], **fixed)
        for way in _texts(body):
            yield Place(method, path, "body", ".".join(map(str, way)), way=way, **fixed)

    def _body(self, path: str, method: str, content: Mapping[str, Any]) -> tuple[str | None, Any]:
        if not content:
            return None, None
        media, described = next(iter(content.items()))
        example = self.examples.get((method, path))
        return media, self._made(described["schema"], 0) if example is None else example

    def _made(self, schema: Mapping[str, Any], depth: int) -> Any:
        """Something of the schema in which every text is `text`."""
        if "$ref" in schema:
            return self._made(self._found(schema["$ref"]), depth + 1)
        for way in ("anyOf", "oneOf", "allOf"):
            if way in schema:
                return self._made(next(one for one in schema[way] if one.get("type") != "null"), depth)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kind == "object" and depth < DEEPEST:
            return {name: self._made(one, depth + 1) for name, one in schema.get("properties", {}).items()}
        if kind == "array" and depth < DEEPEST:
            return [self._made(schema.get("items", {}), depth + 1)]
        return {"object": {}, "array": [], "integer": 1, "number": 1, "boolean": True}.get(kind, self.text)

    def _found(self, reference: str) -> Mapping[str, Any]:
        found: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)


def _texts(body: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(body, str):
        yield way
    entries = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in entries:
        yield from _texts(value, (*way, key))


def _put(body: Any, way: tuple[str | int, ...], text: str) -> None:
    for step in way[:-1]:
        body = body[step]
    body[way[-1]] = text
