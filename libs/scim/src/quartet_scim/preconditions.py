"""Conditional requests by version: If-Match and If-None-Match (RFC 7644 3.14, RFC 9110 13.1)."""

import re
from dataclasses import dataclass

from quartet_scim.errors import ScimError
from quartet_scim.render import etag

_LIST = re.compile(r'\s*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*(?:,\s*|$))+')
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The condition of a write: the resource has one of the versions `tags` (None: any version).

    Tags are compared weakly, with or without `W/`: SCIM's versions are weak (RFC 7644 3.14), and a strong comparison
    (RFC 9110 13.1.1) would fail for each of them.
    """

    tags: frozenset[str] | None

    @classmethod
    def parse(cls, header: str | None) -> "IfMatch":
        """The condition of a header (None: no header). ScimError 400 for other values than `*` and entity tags."""
        return cls(None if header is None else _tags(header, "If-Match"))

    def require(self, version: int) -> None:
        """Raise ScimError 412 if `version` does not meet the condition."""
        if self.tags is not None and _opaque(version) not in self.tags:
            raise ScimError(412, "The resource has changed: its version is not the one in If-Match.")


ANY_VERSION = IfMatch(None)
"""The condition of a request without If-Match."""


def is_known_version(header: str | None, version: int) -> bool:
    """Whether `version` is in the If-None-Match header. Raises ScimError 400."""
    if header is None:
        return False
    tags = _tags(header, "If-None-Match")
    return tags is None or _opaque(version) in tags


def _tags(header: str, name: str) -> frozenset[str] | None:
    """The tags without their `W/`, None for `*`."""
    if header.strip() == "*":
        return None
    if _LIST.fullmatch(header) is None:
        raise ScimError(400, f'{name} must be * or entity tags such as W/"1".', "invalidVers")
    return frozenset(_TAG.findall(header))


def _opaque(version: int) -> str:
    return etag(version).removeprefix("W/")
