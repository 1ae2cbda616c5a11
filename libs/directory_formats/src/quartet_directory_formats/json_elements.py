"""Elements of lists in one large JSON document, one after the other, in constant memory."""

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import ijson

from quartet_directory_formats.lines import CHUNK, Utf8Source
from quartet_directory_formats.records import (
    MAX_RECORD_BYTES,
    MAX_VALUES,
    FormatError,
    LineError,
    OpenFile,
    Source,
    shown,
)

MAX_DEPTH = 1000
MAX_TOKEN_BYTES = 1024 * 1024
STARTS, ENDS = ("start_map", "start_array"), ("end_map", "end_array")


class Element(NamedTuple):
    """An element: the name of its list, its number there from 1, and its value."""

    name: str
    number: int
    value: Any


class _TooLargeError(ValueError):
    pass


class _LimitedSource:
    """Limits what is read since the last event, so that no token grows without limit, and of one element.

    in_token, in_element: the bytes so far, which the reader of events resets.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.in_token = self.in_element = 0

    def read(self, size: int = CHUNK) -> bytes:
        if not size:
            return b""
        content = self._source.read(size)
        self.in_token += len(content)
        self.in_element += len(content)
        if self.in_token > MAX_TOKEN_BYTES:
            raise _TooLargeError(f"a text or number has more than {MAX_TOKEN_BYTES} bytes")
        if self.in_element > MAX_RECORD_BYTES:
            raise _TooLargeError(f"an element has more than {MAX_RECORD_BYTES} bytes")
        return content


def read_elements(open_file: OpenFile, names: Collection[str]) -> Iterator[Element | LineError]:
    """The elements of the lists that `names` (in lower case) name, in the document or in the objects of a list.

    A document that is not valid ends with a LineError. Raises FormatError if it has none of the lists.
    """
    found = _Elements(open_file, names)
    try:
        yield from found
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        reason = shown(str(error).split("\n")[0]) or "unexpected end"
        where = f" after element {found.number} of {found.list_name}" if found.list_name else ""
        if not found.seen:
            raise FormatError(f"The file is not a JSON document with {' or '.join(sorted(names))}: {reason}.") from None
        yield LineError(found.number + 1, f"The rest of the document cannot be read{where}: {reason}.", "", ends=True)
        return
    if not found.seen:
        raise FormatError(f"The JSON document has no list {' or '.join(sorted(names))}.")


class _Elements:
    """Iterates over events of the document: members of objects outside of lists, then whole elements."""

    def __init__(self, open_file: OpenFile, names: Collection[str]) -> None:
        self._source = _LimitedSource(Utf8Source(open_file(), None))
        self._names = names
        self.list_name = ""
        self.number = 0
        self.seen = False

    def __iter__(self) -> Iterator[Element]:
        events = ijson.basic_parse(self._source, buf_size=CHUNK)
        depth, outer, name = 0, 0, ""  # outer: the level of the objects whose members are looked at
        for event, value in events:
            self._source.in_token = self._source.in_element = 0
            if event == "map_key":
                name = value.lower() if depth == outer else name
            elif event in STARTS:
                if event == "start_array" and depth == outer and name in self._names:
                    yield from self._list(name, events)
                    continue
                depth += 1
                if depth > MAX_DEPTH:
                    raise _TooLargeError(f"it has more than {MAX_DEPTH} levels")
                if not outer and event == "start_map":
                    outer = depth
            elif event in ENDS:
                depth -= 1
                outer = 0 if depth < outer else outer

    def _list(self, name: str, events: Iterator[tuple[str, Any]]) -> Iterator[Element]:
        self.list_name, self.number, self.seen = name, 0, True
        for event, value in events:
            if event == "end_array":
                return
            built = _build(event, value, events, self._source)
            self._source.in_token = self._source.in_element = 0
            self.number += 1
            yield Element(name, self.number, built)


def _build(event: str, value: Any, events: Iterator[tuple[str, Any]], source: _LimitedSource) -> Any:
    """The value that begins with an event."""
    if event not in STARTS:
        return _scalar(value)
    root: Any = {} if event == "start_map" else []
    stack, keys = [root], [""]
    for count, (following, content) in enumerate(events):
        source.in_token = 0
        if count > MAX_VALUES:
            raise _TooLargeError(f"an element has more than {MAX_VALUES} values")
        if following == "map_key":
            keys[-1] = content
        elif following in ENDS:
            stack.pop()
            keys.pop()
            if not stack:
                return root
        else:
            inner: Any = _scalar(content)
            if following in STARTS:
                inner = {} if following == "start_map" else []
            top = stack[-1]
            if isinstance(top, dict):
                top[keys[-1]] = inner
            else:
                top.append(inner)
            if following in STARTS:
                stack.append(inner)
                keys.append("")
                if len(stack) > MAX_DEPTH:
                    raise _TooLargeError(f"it has more than {MAX_DEPTH} levels")
    raise ijson.IncompleteJSONError("unexpected end")


def _scalar(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
