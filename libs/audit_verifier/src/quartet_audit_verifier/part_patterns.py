"""Patterns of parts in the compact form in which the service stores them, which are read without a JSON parser.

A text that a pattern matches has each member once, in a fixed order, and no escapes;
others are left to the JSON parser.
"""

import re
from typing import Any, Final

_STRING: Final = r'"[^"\\\x00-\x1f\x7f-\xff]*"'
_OPTIONAL: Final = rf"(?:null|{_STRING})"
_TEXT: Final = r'"([^"\\\x00-\x1f\x7f-\xff]*)"'
_NUMBER: Final = r"(0|[1-9][0-9]{0,17})"


def _pattern(*members: tuple[str, str]) -> re.Pattern[bytes]:
    body = ",".join(f'"{name}":{value}' for name, value in members)
    return re.compile(rf"\{{{body}\}}".encode())


FACTS: Final = _pattern(
    ("id", _TEXT),
    ("sequence", _NUMBER),
    ("time", _TEXT),
    ("recorded_time", _TEXT),
    ("tenant", _TEXT),
    ("action", _TEXT),
    ("type", _STRING),
    ("actor", _STRING),
    ("resource", rf'\{{"type":{_STRING},"id":{_STRING}\}}'),
    ("outcome", _STRING),
    ("trace_id", _OPTIONAL),
)
PERSONAL: Final = {
    "actor": _pattern(("actor_name", _OPTIONAL), ("actor_type", _OPTIONAL)),
    "resource": _pattern(("resource_name", _OPTIONAL)),
    "source": _pattern(("source_address", _OPTIONAL), ("user_agent", _OPTIONAL)),
}
"""The personal parts whose values are texts."""


def match_facts(raw: bytes) -> dict[str, Any] | None:
    """The members of facts that are compared with the leaf; None if the JSON parser must read them."""
    match = FACTS.fullmatch(raw)
    if match is None:
        return None
    identifier, sequence, time, recorded, tenant, action = match.groups()
    return {
        "id": identifier.decode(), "sequence": int(sequence), "time": time.decode(),
        "recorded_time": recorded.decode(), "tenant": tenant.decode(), "action": action.decode(),
    }  # fmt: skip
