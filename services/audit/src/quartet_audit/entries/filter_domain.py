"""The filters of entries, which searches, histograms, exports, streams and live tails share: their names and rules."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field, structs, to_builtins

from quartet_audit.entries.digest_domain import former_id
from quartet_audit.entries.entry_domain import BEGINNING, END, Network, Position, Search
from quartet_audit.entries.term_domain import WORD, parse_network
from quartet_common.core.clock import parse_time
from quartet_common.core.errors import BadRequestError
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS, TIME_RULE, shown

MAX_TEXT = 1024
ANY_END = "*"
TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")


def _meta(description: str) -> Meta:
    return Meta(max_length=MAX_TEXT, pattern=NO_CONTROL_CHARACTERS, description=description)


class Filters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What entries are found by: those that pass all that are given. An empty one is as good as none."""

    action: Annotated[str, _meta("The whole action, or its beginning and `*`, e.g. `users.user.*`.")] = ""
    actor: Annotated[str, _meta("The id of the user or client that caused the event.")] = ""
    resource: Annotated[str, _meta("The id of the resource that was changed.")] = ""
    resource_type: Annotated[str, _meta("The collection of the resource, e.g. `users`.")] = ""
    outcome: Annotated[str, _meta("`success` or `denied`.")] = ""
    address: Annotated[str, _meta("The source address, or a network: `192.0.2.7`, `2001:db8::/32`.")] = ""
    trace_id: Annotated[str, _meta("The trace id, 32 hexadecimal digits.")] = ""
    text: Annotated[str, _meta("Words in the ids and names of actor and resource, and in the data.")] = ""
    start: Annotated[str, _meta("RFC 3339 time of the event, inclusive.")] = field(name="from", default="")
    end: Annotated[str, _meta("RFC 3339 time of the event, exclusive.")] = field(name="to", default="")

    @property
    def given(self) -> dict[str, str]:
        """Those that are given, by their names in a query string."""
        found: dict[str, str] = to_builtins(self)
        return found

    @property
    def search(self) -> Search:
        """The search for the entries that pass. Raises BadFilterError (400)."""
        return read_filters(self.given)


FILTERS = tuple(one.encode_name for one in structs.fields(Filters))
"""Their names."""


class BadFilterError(BadRequestError):
    """400: the filter `name` is invalid; `rule` says what it must be."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name} {rule}", "bad_parameter")
        self.name = name
        self.rule = rule


def read_filters(given: Mapping[str, str]) -> Search:
    """The search for the entries that pass the filters among `given`. Raises BadFilterError (400) naming one."""
    action = given.get("action")
    is_prefix = action is not None and action.endswith(ANY_END)
    start, end = _range(given)
    return Search(
        action=None if is_prefix else action,
        prefix=action.removesuffix(ANY_END) if action is not None and is_prefix else None,
        actor=given.get("actor"),
        resource=given.get("resource"),
        recorded_ids=(former_id(given["resource"]),) if "resource" in given else (),
        outcome=given.get("outcome"),
        resource_type=given.get("resource_type"),
        address=_address(given["address"]) if "address" in given else None,
        trace_id=_trace_id(given["trace_id"]) if "trace_id" in given else None,
        text=_text(given["text"]) if "text" in given else (),
        after=start,
        before=end,
    )


def _range(given: Mapping[str, str]) -> tuple[Position, Position]:
    """The positions just before `from` (inclusive) and just before `to` (exclusive)."""
    start = Position(_time("from", given["from"]), -1) if "from" in given else BEGINNING
    end = Position(_time("to", given["to"]), -1) if "to" in given else END
    if start >= end:
        raise BadFilterError("from", "must be before to")
    return start, end


def _time(name: str, text: str) -> datetime:
    if (found := parse_time(text)) is None:
        raise BadFilterError(name, f"{TIME_RULE}, got {shown(text)}")
    return found


def _address(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError:
        rule = "must be an IPv4 or IPv6 address, or a network such as 192.0.2.0/24 whose bits after the prefix are 0"
        raise BadFilterError("address", f"{rule}, got {shown(text)}") from None


def _trace_id(text: str) -> str:
    if TRACE_ID.fullmatch(text) is None:
        raise BadFilterError("trace_id", f"must have 32 hexadecimal digits, got {shown(text)}")
    return text.lower()


def _text(text: str) -> tuple[str, ...]:
    """The pieces between white space, in lower case."""
    pieces = tuple(dict.fromkeys(text.casefold().split()))
    wordless = next((piece for piece in pieces if WORD.search(piece) is None), None)
    if not pieces or wordless is not None:
        raise BadFilterError("text", f"must have a letter or digit between spaces, got {shown(wordless or text)}")
    return pieces
