"""The OpenAPI document: what quart-schema makes of the routes, and the answers and media types that none of them names.

Every route can answer what the guard, the limits and the error handlers answer for it. That is said here, once.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from quart import Response, request
from quart_schema import hide
from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing.rules import Rule

from quartet_common.errors import PROBLEM_TYPE, title_of

F = TypeVar("F", bound=Callable[..., Any])

JSON = "application/json"
MEDIA_TYPE_ATTRIBUTE = "quartet_media_type"
DIALECTS = "quartet_dialects"
"""Where an app's extensions hold its dialects."""
CACHE = "public, max-age=300"
ANYTHING: Mapping[str, Any] = {}
PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}


def answers(media_type: str) -> Callable[[F], F]:
    """Mark a view as one that answers in `media_type`, whatever its dialect."""

    def mark(view: F) -> F:
        setattr(view, MEDIA_TYPE_ATTRIBUTE, media_type)
        return view

    return mark


@dataclass(frozen=True)
class Dialect:
    """How the routes below `prefix` speak.

    media_type: of answers. taken: of bodies. error: the JSON schema of an error, of `error_type`. statuses: what the
    routes can answer beside what all can, by method.
    """

    prefix: str = "/"
    media_type: str = JSON
    taken: tuple[str, ...] = (JSON,)
    error_type: str = PROBLEM_TYPE
    error: Mapping[str, Any] = field(default_factory=lambda: PROBLEM)
    statuses: Mapping[str, Sequence[int]] | None = None

    def of_errors(self, status: int) -> dict[str, Any]:
        """The response object of an error, or of a status without a body."""
        if status < 400:
            return {"description": HTTPStatus(status).phrase}
        return {"description": title_of(status), "content": {self.error_type: {"schema": dict(self.error)}}}


class Document(OpenAPIProvider):
    """Makes the document of one app; an app's own dialects come before the common one."""

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """The operations of a rule, with every answer that they can give."""
        paths, components = super().build_paths(rule)
        own: Sequence[Dialect] = self._app.extensions.get(DIALECTS, ())
        dialect = next((one for one in (*own, Dialect()) if rule.rule.startswith(one.prefix)), Dialect())
        view = self._app.view_functions[rule.endpoint]
        dialect = replace(dialect, media_type=getattr(view, MEDIA_TYPE_ATTRIBUTE, dialect.media_type))
        is_public = rule.endpoint in self._app.extensions["quartet_public"]
        for operations in paths.values():
            for method, operation in operations.items():
                operations[method] = self._complete(operation, method.upper(), dialect, is_public=is_public)
        return paths, components

    def _complete(self, operation: dict[str, Any], method: str, dialect: Dialect, *, is_public: bool) -> dict[str, Any]:
        found = {str(status): _spoken(status, one, dialect) for status, one in operation["responses"].items()}
        if not any(status.startswith("2") for status in found):
            found["204" if method == "DELETE" else "200"] = _success(method, dialect)
        wanted = [400, 401, 405, 429, 503, *([] if is_public else [403]), *(dialect.statuses or {}).get(method, ())]
        if any(one["in"] == "path" for one in operation["parameters"]):
            wanted.append(404)
        completed = {**operation, "responses": found}
        if "requestBody" in operation or method in ("POST", "PUT", "PATCH"):
            wanted += [413, 415]
        if "requestBody" in operation:
            completed["requestBody"] = _taken(operation["requestBody"], dialect)
        for status in sorted(set(wanted)):
            found.setdefault(str(status), dialect.of_errors(status))
        return completed


class Published:
    """The document as it is served: built once, in a thread, when the first request comes (0.3 s of CPU)."""

    def __init__(self, provider: OpenAPIProvider) -> None:
        self._provider = provider
        self._building: asyncio.Future[tuple[bytes, str]] | None = None

    @hide
    async def openapi(self) -> Response:
        """The document, or 304 for a client that has it (RFC 9110 section 13.1.2)."""
        if self._building is None:
            self._building = asyncio.ensure_future(asyncio.to_thread(self._build))
        body, etag = await asyncio.shield(self._building)  # a client that disconnects does not cancel the others'
        response = Response(body, content_type=JSON, headers={"Cache-Control": CACHE})
        response.set_etag(etag)
        await response.make_conditional(request)
        return response

    def _build(self) -> tuple[bytes, str]:
        body = orjson.dumps(self._provider.schema())
        return body, hashlib.sha256(body).hexdigest()


def _spoken(status: int, response: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    if status >= 400:
        return {**dialect.of_errors(status), "description": response["description"]}
    content = {dialect.media_type if kind == JSON else kind: one for kind, one in response["content"].items()}
    return {**response, "content": content}


def _success(method: str, dialect: Dialect) -> dict[str, Any]:
    if method == "DELETE":
        return {"description": HTTPStatus.NO_CONTENT.phrase}
    return {"description": HTTPStatus.OK.phrase, "content": {dialect.media_type: {"schema": dict(ANYTHING)}}}


def _taken(body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    schema = body["content"].get(JSON)
    return body if schema is None else {**body, "content": dict.fromkeys(dialect.taken, schema)}
