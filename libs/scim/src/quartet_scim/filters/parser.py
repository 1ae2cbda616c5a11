"""The parser of filters: precedence climbing over tokens, with limits (RFC 7644 3.4.2.2, 3.5.2)."""

from collections.abc import Mapping
from typing import ClassVar

from quartet_scim.errors import ScimType, too_many
from quartet_scim.filters.lexer import END, Lexer, path, refused
from quartet_scim.filters.syntax import And, Compare, Filter, Not, Operator, Or, Path, Present, TargetPath, ValuePath

MAX_CHARACTERS = 4096
MAX_DEPTH = 20
MAX_COMPARISONS = 100
_OPERATORS: Mapping[str, Operator] = {operator.value: operator for operator in Operator}


def parse(text: str) -> Filter:
    """Parse a filter; operators and keywords may be in any case.

    Raises ScimError 400: invalidFilter with the place of the fault, also for more than 4,096 characters and for
    parentheses and brackets nested deeper than 20; tooMany for more than 100 comparisons.
    """
    return Parser(text, "invalidFilter").whole_filter()


def parse_path(text: str) -> TargetPath:
    """Parse the path of a PATCH operation (RFC 7644 3.5.2) with the same limits. ScimError 400 invalidPath, tooMany."""
    return Parser(text, "invalidPath").whole_path()


class Parser:
    """Parses one text."""

    # the precedence of operators (RFC 7644 table 5): `a or b and c` is `a or (b and c)`.
    binding: ClassVar[Mapping[str, int]] = {"or": 1, "and": 2}

    __slots__ = ("_comparisons", "_depth", "_lexer")

    def __init__(self, text: str, fault: ScimType) -> None:
        if len(text) > MAX_CHARACTERS:
            raise refused(fault, MAX_CHARACTERS + 1, f"it is longer than {MAX_CHARACTERS} characters")
        self._lexer = Lexer(text, fault)
        self._depth = 0
        self._comparisons = 0

    def whole_filter(self) -> Filter:
        """The text as one filter, up to its end."""
        found = self._expression(0, inside=False)
        self._lexer.take(END, "`and`, `or` or the end is expected")
        return found

    def whole_path(self) -> TargetPath:
        """The text as the path of a PATCH operation, up to its end."""
        attribute = path(self._lexer.take("path", "an attribute is expected"))
        found = TargetPath(attribute)
        if self._lexer.kind == "[":
            found = TargetPath(attribute, self._bracketed(attribute), self._sub_attribute())
        self._lexer.take(END, "the end is expected")
        return found

    def _expression(self, floor: int, *, inside: bool) -> Filter:
        # Terms that are joined by one operator lie in one node, in their order.
        lexer = self._lexer
        found = self._term(inside=inside)
        while lexer.kind == "path":
            word = lexer.text.lower()
            strength = self.binding.get(word, 0)
            if strength <= floor:
                break
            terms = [found]
            while lexer.kind == "path" and lexer.text.lower() == word:
                lexer.advance()
                terms.append(self._expression(strength, inside=inside))
            found = And(tuple(terms)) if word == "and" else Or(tuple(terms))
        return found

    def _term(self, *, inside: bool) -> Filter:
        lexer = self._lexer
        if lexer.kind == "(":
            return self._grouped(inside=inside)
        word = lexer.take("path", "an attribute, `not` or `(` is expected")
        if word.lower() == "not":
            if lexer.kind != "(":
                raise lexer.refused("`(` is expected after `not`")
            return Not(self._grouped(inside=inside))
        if lexer.kind != "[":
            return self._test(path(word))
        if inside:
            raise lexer.refused("brackets cannot be nested")
        return self._value_path(path(word))

    def _grouped(self, *, inside: bool) -> Filter:
        self._descend()
        found = self._expression(0, inside=inside)
        self._lexer.take(")", "`and`, `or` or `)` is expected")
        self._depth -= 1
        return found

    def _value_path(self, attribute: Path) -> ValuePath:
        found = self._bracketed(attribute)
        sub = self._sub_attribute()
        if sub is not None:
            # Not in the RFC: Entra ID asks `emails[type eq "work"].value eq "x"`, and means one and the same e-mail.
            terms = found.terms if isinstance(found, And) else (found,)
            found = And((*terms, self._test(Path(sub))))
        return ValuePath(attribute, found)

    def _bracketed(self, attribute: Path) -> Filter:
        if attribute.sub is not None and attribute.urn is None:  # behind a URN the dot may stand for the colon
            raise self._lexer.refused("brackets can follow an attribute only, not a sub-attribute")
        self._descend()
        found = self._expression(0, inside=True)
        self._lexer.take("]", "`and`, `or` or `]` is expected")
        self._depth -= 1
        return found

    def _sub_attribute(self) -> str | None:
        if self._lexer.kind != ".":
            return None
        self._lexer.advance()
        if ":" in self._lexer.text or "." in self._lexer.text:
            raise self._lexer.refused("the name of a sub-attribute is expected")
        return self._lexer.take("path", "a sub-attribute is expected")

    def _test(self, attribute: Path) -> Filter:
        lexer = self._lexer
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise too_many(f"The filter has more than {MAX_COMPARISONS} comparisons.")
        word = lexer.text.lower()
        if word == "pr":
            lexer.advance()
            return Present(attribute)
        operator = _OPERATORS.get(word)
        if operator is None:
            raise lexer.refused(f"an operator is expected: {', '.join(_OPERATORS)} or pr")
        lexer.advance()
        return Compare(attribute, operator, lexer.take_value())

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._lexer.refused(f"parentheses and brackets are nested deeper than {MAX_DEPTH}")
        self._lexer.advance()
