"""The lexer of filters: splits the text into tokens (names, values, brackets), and makes syntax errors."""

import math
import re

import orjson

from quartet_scim.errors import ScimError, ScimType
from quartet_scim.filters.syntax import Path, Value

END = "end"
_NAME = r"\$?[A-Za-z][A-Za-z0-9$_-]*"
_WORD = re.compile(
    rf"""[ \t\r\n]*+(?:
    (?P<path>urn:[A-Za-z0-9._~%+/:-]+:{_NAME}(?:\.{_NAME}){{0,2}}|{_NAME}(?:\.{_NAME})?)
    |(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<mark>[()\[\].])
    |(?P<end>\Z)
    |(?P<unknown>.)
    )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


class Lexer:
    """Splits a text into tokens, one after the other.

    kind of the current token: path, string, number, end, unknown, or the mark itself. text: as it was written.
    """

    __slots__ = ("_fault", "_matches", "_text_end", "kind", "text")

    def __init__(self, text: str, fault: ScimType) -> None:
        self._matches = _WORD.finditer(text)
        self._fault: ScimType = fault
        self.advance()

    def advance(self) -> None:
        """Move to the next token; at the end it stays there."""
        match = next(self._matches, None)
        if match is None:
            return
        kind = match.lastgroup or END
        self.text: str = match[kind]
        self._text_end: int = match.end()
        self.kind: str = self.text if kind == "mark" else kind

    def take(self, kind: str, problem: str) -> str:
        """The current token, which must be of a kind; moves to the next one."""
        if self.kind != kind:
            raise self.refused(problem)
        word = self.text
        self.advance()
        return word

    def refused(self, problem: str) -> ScimError:
        """400 for the current token, with its position."""
        return refused(self._fault, self._text_end - len(self.text) + 1, problem)

    def take_value(self) -> Value:
        """The operand of a comparison: a JSON string, number, true, false (in any case) or null."""
        if self.kind == "string":
            found: Value = self._string()
        elif self.kind == "number":
            found = self._number()
        elif self.kind == "path" and self.text.lower() in _CONSTANTS:
            found = _CONSTANTS[self.text.lower()]
        else:
            raise self.refused('a value is expected: "text", a number, true, false or null')
        self.advance()
        return found

    def _string(self) -> str:
        inner = self.text[1:-1]
        if inner.isascii() and inner.isprintable() and "\\" not in inner:
            return inner
        try:
            found: str = orjson.loads(self.text)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            raise self.refused("this is not a valid JSON string") from None
        if "\x00" in found:
            raise self.refused("a string must not contain a NUL character")
        return found

    def _number(self) -> int | float:
        if self.text.lstrip("-").isdigit():
            return int(self.text)
        found = float(self.text)
        if not math.isfinite(found):
            raise self.refused("this number is too large")
        return found


def refused(fault: ScimType, at: int, problem: str) -> ScimError:
    """400 with the position of the error, from 1, and the problem; without values of the filter."""
    return ScimError(400, f"The {'path' if fault == 'invalidPath' else 'filter'}, character {at}: {problem}.", fault)


def path(word: str) -> Path:
    """The parsed path of a path token."""
    urn: str | None = None
    if ":" in word:
        urn, _, word = word.rpartition(":")
    attribute, _, sub = word.partition(".")
    return Path(attribute, sub or None, urn)
