"""Validation messages: errors of msgspec in plain English: `name must not be empty.`, `members[2].value is missing.`"""

import re

import msgspec

NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*\Z"
"""Pattern (msgspec.Meta) of texts without line breaks."""
MAX_SHOWN = 64
"""Maximum characters of a sent value or name in a message."""
TIME_RULE = 'must be an RFC 3339 time with a time zone, such as 2026-01-31T09:00:00Z (in a URL "+" is written %2B)'

_PATH = re.compile(r"(.*) - at `\$\.?([^`]*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `([^`]*)`,? ?(.*)", re.DOTALL)
_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_LENGTH = re.compile(r"of length (>=|<=)? ?([0-9]+)")
_TYPES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "uuid": "a UUID",
    "datetime": "a date and time such as 2026-01-31T09:00:00Z",
}
_SENT = {"int": "a number", "float": "a number with a decimal point or exponent", "bool": "a boolean"}
_UNITS = {"str": "characters", "bytes": "bytes", "array": "values", "object": "members"}
_LIMITS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_OTHERS = {"that's": "be a multiple of {}", "with": "have a time zone, such as 2026-01-31T09:00:00Z"}
_FORMS = {
    "Invalid RFC3339 encoded datetime": "must be a date and time with its offset, such as 2026-01-31T09:00:00Z",
    "Invalid UUID": "must be a UUID, such as 01a2046c-4531-744c-8f2c-3eff55c91727",
    "Invalid base64 encoded string": "must be base64",
    "Number out of range": "is a number that is too large",
}


def describe(error: Exception) -> str:
    """The error in a JSON body as a sentence; `error` is from msgspec.json.decode.

    Names and values from the client are escaped and cut to MAX_SHOWN characters.
    """
    message = str(error)
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return "The body is not valid UTF-8."
    if not isinstance(error, msgspec.ValidationError):
        reason = "it is empty or incomplete" if "truncated" in message else message.removeprefix("JSON is malformed: ")
        return f"The body is not valid JSON: {reason}."
    found = _PATH.fullmatch(message)
    problem, path = (found[1], found[2]) if found else (message, "")
    return f"{_sentence(problem, path)}."


def _sentence(problem: str, path: str) -> str:
    named = _NAMED.fullmatch(problem)
    if named and named[1] == "contains unknown":
        return f"unknown member {shown(named[2])}{f' in {path}' if path else ''}"
    if named:
        return f"{path}{'.' if path else ''}{named[2]} is missing"
    return f"{path or 'The body'} {_rule(problem)}"


def _rule(problem: str) -> str:
    expected = _EXPECTED.fullmatch(problem)
    if expected:
        return f"must {_requirement(expected[1], expected[2])}"
    if problem.startswith("Invalid enum value "):
        value = problem.removeprefix("Invalid enum value ")
        return f"has a value that is not allowed: {shown(value.strip(chr(39)))}"
    return _FORMS.get(problem) or f"is not valid: {shown(problem)}"


def _requirement(kind: str, rest: str) -> str:
    """The text after "must", of ("str", "of length >= 1"), ("int", "<= 9"), ("str", "got `int`"), ..."""
    length = _LENGTH.fullmatch(rest)
    if length and length.groups() == (">=", "1"):
        return "not be empty"
    if length:
        return f"have {_LIMITS.get(length[1], 'exactly')} {length[2]} {_UNITS.get(kind, 'values')}"
    if rest.startswith("matching regex "):
        pattern = rest.removeprefix("matching regex ")
        no_controls = pattern == repr(NO_CONTROL_CHARACTERS)
        return "not contain control characters" if no_controls else f"match the regular expression {pattern}"
    if rest.startswith("got "):
        wanted = " or ".join(_TYPES.get(one, one) for one in kind.split(" | "))
        got = rest.removeprefix("got ").strip("`")
        return f"be {wanted}, got {_SENT.get(got) or _TYPES.get(got, got)}"
    sign, _, bound = rest.partition(" ")
    return (
        f"be {_LIMITS[sign]} {bound}" if sign in _LIMITS else _OTHERS.get(sign, "be {}").format(rest.rpartition(" ")[2])
    )


def shown(text: str) -> str:
    """`text` in quotes, escaped and cut to MAX_SHOWN characters."""
    return ascii(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}...")
