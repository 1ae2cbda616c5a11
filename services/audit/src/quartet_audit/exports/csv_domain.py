"""CSV: entries as rows (RFC 4180), without cells that a spreadsheet would run as a formula, and one line each."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

COLUMNS = (
    *("sequence", "id", "time", "recorded_time", "tenant", "action", "type", "outcome"),
    *("actor", "actor_name", "actor_type", "resource_type", "resource_id", "resource_name"),
    *("source_address", "user_agent", "trace_id", "data", "erased"),
)
"""The columns; new ones come at the end. `resource` of an entry is two columns, `data` and `erased` are JSON."""

FORMULA = re.compile("[\\s\ufeff\u200b]*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet may run (OWASP, "CSV Injection"): also after white space, also in full width."""
CONTROLS = {code: f"\\u{code:04x}" for code in (*range(32), 127)} | {9: "\\t", 10: "\\n", 13: "\\r"}
"""Control characters as JSON writes them: an entry is one line."""
HEADER = ",".join(COLUMNS).encode() + b"\r\n"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def csv_lines(entries: Iterable[bytes]) -> bytes:
    """The lines of `entries`, which are JSON, in UTF-8."""
    return "".join([_line(_decode(entry)) for entry in entries]).encode()


def safe_cell(text: str) -> str:
    """`text` without control characters, and after an apostrophe if it would be read as a formula."""
    cell = text if text.isprintable() else text.translate(CONTROLS)
    return f"'{cell}" if FORMULA.match(text) else cell


def _line(entry: Mapping[str, Any]) -> str:
    resource = entry["resource"]
    values = {**entry, "resource_type": resource["type"], "resource_id": resource["id"]}
    return ",".join([_cell(values.get(column)) for column in COLUMNS]) + "\r\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    cell = safe_cell(value) if isinstance(value, str) else _encode(value).decode()
    if '"' in cell:
        return '"' + cell.replace('"', '""') + '"'
    return f'"{cell}"' if "," in cell else cell
