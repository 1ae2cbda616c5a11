"""The OpenAPI document: that of quart-schema, with the responses and media types that routes do not declare.

Every route can return the responses of the guard, the limits and the error handlers, which are added here, once.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, TypeVar, cast

import msgspec
import orjson
from quart import Response, request
from quart_schema import hide
from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing.rules import Rule

from quartet_common.core.errors import PROBLEM_TYPE, code_of, title_of
from quartet_common.web.guard import is_public, public
from quartet_common.web.idempotency import HEADER as IDEMPOTENCY_HEADER
from quartet_common.web.idempotency import KEY, is_idempotent
from quartet_common.web.service_app import EVENT_HEADER, MAX_EVENT_IDS

F = TypeVar("F", bound=Callable[..., Any])

JSON = "application/json"
MEDIA_TYPE_ATTRIBUTE = "quartet_media_type"
DIALECTS = "quartet_dialects"
"""The key of the dialects in `app.extensions`."""
REFERENCE = "quartet_reference"
"""The key of the Reference in `app.extensions`."""
PARAMETERS = {
    "cursor": "The next cursor of the previous page. Leave it out for the first page.",
    "count": "The largest number of results on a page.",
    "since": "The time from which on events are published again, or were dead letters (RFC 3339).",
    "until": "The time before which they were dead letters (RFC 3339).",
    "type": "The type of the event, such as users.user.created.v1.",
    "tenant": "The id of a tenant. Only platform:admin sees other tenants than the own one.",
    "failure": "The beginning of the reason, up to the colon, such as ValueError.",
    "consumer": "The name of a consumer: that of its queue without quartet.",
    "letter_id": "The id of a dead letter.",
    "redrive_id": "The id of a redrive.",
    "job_id": "The id of a job.",
    "kind": "What the job does: import or export.",
    "format": "The format of the file, such as ndjson, csv or ldif.",
    "dry_run": "true to report what an import would do, without a change.",
    "match": "The attribute that finds the user or group that a record is: userName, displayName or externalId.",
    "mapping": "For CSV: a JSON object of column names and attribute paths. An empty path leaves the column out.",
    "delimiter": "For CSV: the character between two cells. It is detected by default.",
    "encoding": "The character encoding of the file, such as utf-8 or cp1252. It is detected by default.",
}
"""Descriptions of parameters of several services, by name."""
PARAMETER = re.compile(r"<(?:[^:<>]*:)?([^<>]+)>")
"""A parameter in a rule, with or without a converter."""
CACHE = "public, max-age=300"
ANYTHING: Mapping[str, Any] = {}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
EVENT_HEADERS: Mapping[str, Any] = {
    EVENT_HEADER: {
        "description": "The ids of the events that the request has published, which are those of their entries in the "
        f"audit log: at most {MAX_EVENT_IDS}, separated by commas. Missing if there are none.",
        "schema": {"type": "string"},
    }
}
"""The headers of the responses of methods that write."""
IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "required": False,
    "description": "A key of your own, such as a UUID: a request that is sent again with it within 24 hours has no "
    "second effect, and gets the first response. 422 if the key was sent with another request.",
    "schema": {"type": "string", "pattern": f"^({KEY.pattern})$"},
}
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
    """Mark a view with its own `media_type`, instead of that of its dialect."""

    def mark(view: F) -> F:
        setattr(view, MEDIA_TYPE_ATTRIBUTE, media_type)
        return view

    return mark


def problem_example(status: int) -> dict[str, Any]:
    """A problem document (RFC 9457)."""
    title = title_of(status)
    return {"type": "about:blank", "title": title, "status": status, "detail": f"{title}.", "code": code_of(status)}


@dataclass(frozen=True)
class Reference:
    """Additions to the document. examples: of request bodies, by method and path ("POST /users/login"). parameters:
    descriptions by name.
    """

    examples: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """The protocol of the routes below `prefix`.

    media_type: of responses. taken: of bodies. error: the JSON schema of an error, of `error_type`. error_example: an
    error of a status. statuses: of the routes in addition to the common ones, by method.
    """

    prefix: str = "/"
    media_type: str = JSON
    taken: tuple[str, ...] = (JSON,)
    error_type: str = PROBLEM_TYPE
    error: Mapping[str, Any] = field(default_factory=lambda: PROBLEM)
    error_example: Callable[[int], Mapping[str, Any]] = problem_example
    statuses: Mapping[str, Sequence[int]] | None = None

    def of_errors(self, status: int) -> dict[str, Any]:
        """The response object of an error, or of a status without a body."""
        if status < 400:
            return {"description": HTTPStatus(status).phrase}
        error = {"schema": dict(self.error), "example": dict(self.error_example(status))}
        return {"description": title_of(status), "content": {self.error_type: error}}


class Document(OpenAPIProvider):
    """Makes the document of one app; its own dialects come before the common one."""

    def schema(self) -> dict[str, Any]:
        """The whole document. Backticks of docstrings are removed, since descriptions are not Markdown."""
        return cast(dict[str, Any], _without_backticks(super().schema()))

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """The operations of a rule, with all responses."""
        paths, components = super().build_paths(rule)
        own: Sequence[Dialect] = self._app.extensions.get(DIALECTS, ())
        dialect = next((one for one in (*own, Dialect()) if rule.rule.startswith(one.prefix)), Dialect())
        view = self._app.view_functions[rule.endpoint]
        dialect = replace(dialect, media_type=getattr(view, MEDIA_TYPE_ATTRIBUTE, dialect.media_type))
        path = PARAMETER.sub(r"{\1}", rule.rule)  # that of quart-schema is wrong with a converter behind a parameter
        paths = {path: next(iter(paths.values()))}
        for path, operations in paths.items():
            for method, operation in operations.items():
                if is_idempotent(view):
                    operation["parameters"].append(IDEMPOTENCY_KEY)
                completed = self._complete(operation, method.upper(), dialect, is_public=is_public(view))
                operations[method] = self._refer(completed, f"{method.upper()} {path}")
        return paths, components

    def build_request_body(self, model: Any, source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The body of requests and what its schema refers to."""
        body, components = super().build_request_body(model, source)
        return body, {**components, **_components(model)}

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A response and what its schema refers to."""
        response, components = super().build_response_object(model, headers_model)
        return response, {**components, **_components(model)}

    def _refer(self, operation: dict[str, Any], name: str) -> dict[str, Any]:
        """The operation with descriptions of its parameters and an example of its body."""
        reference: Reference = self._app.extensions[REFERENCE]
        known = {**PARAMETERS, **reference.parameters}
        given = [{"description": known.get(one["name"], ""), **one} for one in operation["parameters"]]
        completed = {**operation, "parameters": given}
        if "requestBody" in operation and name in reference.examples:
            example = {"example": reference.examples[name]}
            content = {kind: {**one, **example} for kind, one in operation["requestBody"]["content"].items()}
            completed["requestBody"] = {**operation["requestBody"], "content": content}
        return completed

    def _complete(self, operation: dict[str, Any], method: str, dialect: Dialect, *, is_public: bool) -> dict[str, Any]:
        found = {str(status): _spoken(status, one, dialect) for status, one in operation["responses"].items()}
        if not any(status.startswith("2") for status in found):
            found["204" if method == "DELETE" else "200"] = _success(method, dialect)
        if method in WRITES:
            found = {
                status: {**one, "headers": dict(EVENT_HEADERS)} if status.startswith("2") else one
                for status, one in found.items()
            }
        wanted = [400, 401, 405, 429, 503, *([] if is_public else [403]), *(dialect.statuses or {}).get(method, ())]
        if any(one["in"] == "path" for one in operation["parameters"]):
            wanted.append(404)
        completed = {**operation, "responses": found}
        if IDEMPOTENCY_KEY in operation["parameters"]:
            wanted += [409, 422]
        if "requestBody" in operation or method in ("POST", "PUT", "PATCH"):
            wanted += [413, 415]
        if "requestBody" in operation:
            completed["requestBody"] = _taken(operation["requestBody"], dialect)
        for status in sorted(set(wanted)):
            found.setdefault(str(status), dialect.of_errors(status))
        return completed


def _components(model: Any) -> dict[str, Any]:
    """The schemas of a struct and of those in it, which quart-schema refers to and leaves out."""
    if not (isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return {}
    _, components = msgspec.json.schema_components([model], ref_template="#/components/schemas/{name}")
    return components


class Published:
    """A served document: built once, in a thread, at the first request (OpenAPI: 0.3 s of CPU)."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._source = build
        self._building: asyncio.Future[tuple[bytes, str]] | None = None

    @public
    @hide
    async def document(self) -> Response:
        """The document, or 304 for a client that has it (RFC 9110 section 13.1.2)."""
        if self._building is None:
            self._building = asyncio.ensure_future(asyncio.to_thread(self._build))
        body, etag = await asyncio.shield(self._building)  # a client that disconnects does not cancel the others'
        response = Response(body, content_type=JSON, headers={"Cache-Control": CACHE})
        response.set_etag(etag)
        await response.make_conditional(request)
        return response

    def _build(self) -> tuple[bytes, str]:
        body = orjson.dumps(self._source())
        return body, hashlib.sha256(body).hexdigest()


def _without_backticks(part: Any, name: str = "") -> Any:
    if isinstance(part, dict):
        return {key: _without_backticks(one, key) for key, one in part.items()}
    if isinstance(part, list):
        return [_without_backticks(one) for one in part]
    return part.replace("`", "") if name in ("summary", "description") and isinstance(part, str) else part


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


@dataclass
class ProblemDocument:
    """The error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
