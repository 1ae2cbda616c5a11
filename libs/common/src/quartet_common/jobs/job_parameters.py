"""Query parameters of jobs: what a client asks for, checked by the kinds of jobs of the service."""

import codecs
from collections.abc import Mapping
from typing import Any

import msgspec
from quart import request

from quartet_common.core.validation_messages import shown
from quartet_common.jobs.job_kinds import JobKind, JobKinds, NewJob
from quartet_common.web.query_parameters import BadParameterError, read_given

MAPPING = "mapping"
MAX_MAPPING = 16 * 1024
"""Characters of a mapping: more than the other parameters have."""
COMMON = ("kind", "format", "dry_run")


def read_new_job(kinds: JobKinds) -> NewJob:
    """The job that the running request asks for. Raises BadParameterError (400)."""
    lists = dict(request.args.lists())
    mappings = lists.pop(MAPPING, [])
    name = lists.get("kind", [""])[0]
    kind = kinds.by_name.get(name)
    if kind is None:
        raise BadParameterError("kind", f"must be one of {_listed(kinds.by_name)}, got {shown(name)}")
    given = read_given(lists, [*COMMON, *(option for option in kind.options if option != MAPPING)])
    format_ = _one_of("format", given.get("format", next(iter(kind.formats))), kind.formats)
    is_dry_run = _one_of("dry_run", given.get("dry_run", "false"), ("true", "false")) == "true"
    if is_dry_run and not kind.takes_file:
        raise BadParameterError("dry_run", f"is for jobs that change something, not for {name}")
    options = {option: value for option, value in given.items() if option not in COMMON}
    return NewJob(kind, format_, is_dry_run, {**_options(kind, options), **_mapping(kind, mappings)})


def _options(kind: JobKind, given: Mapping[str, str]) -> dict[str, str]:
    """The options with their defaults."""
    for name, value in given.items():
        if kind.options[name]:
            _one_of(name, value, kind.options[name])
        if name == "encoding":
            _require_encoding(value)
    return {name: values[0] for name, values in kind.options.items() if values} | dict(given)


def _mapping(kind: JobKind, given: list[str]) -> dict[str, Any]:
    """The mapping of columns, a JSON object of texts."""
    if not given:
        return {}
    if MAPPING not in kind.options:
        raise BadParameterError(MAPPING, f"is not a parameter of {kind.name}")
    if len(given) > 1 or len(given[0]) > MAX_MAPPING:
        raise BadParameterError(MAPPING, f"must be given once, with at most {MAX_MAPPING} characters")
    try:
        return {MAPPING: msgspec.json.decode(given[0], type=dict[str, str])}
    except (msgspec.MsgspecError, RecursionError):
        raise BadParameterError(
            MAPPING, f'must be a JSON object such as {{"Login": "userName"}}, got {shown(given[0])}'
        ) from None


def _require_encoding(name: str) -> None:
    try:
        is_text = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise BadParameterError("encoding", f"must be a character encoding such as utf-8 or cp1252, got {shown(name)}")


def _one_of(name: str, value: str, known: Any) -> str:
    if value not in known:
        raise BadParameterError(name, f"must be one of {_listed(known)}, got {shown(value)}")
    return value


def _listed(names: Any) -> str:
    return ", ".join(names)
