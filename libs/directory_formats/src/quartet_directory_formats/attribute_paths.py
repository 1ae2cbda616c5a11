"""Paths of attributes: `name.givenName`, `emails[type eq "work"].value`, `urn:...:User:department`."""

import re
from dataclasses import dataclass
from typing import Any

from quartet_directory_formats.records import Document, FormatError, InvalidRecordError, shown

PATH = re.compile(
    r"""(?:(?P<urn>urn:[A-Za-z0-9:._-]+):)?(?P<attribute>[A-Za-z][A-Za-z0-9_-]*)"""
    r"""(?:\[type\ eq\ "(?P<type>[^"\\]+)"\])?(?:\.(?P<sub>\$?[A-Za-z][A-Za-z0-9_-]*))?""",
    re.VERBOSE,
)
MULTI_VALUED = {
    "emails", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates",
}  # fmt: skip
BOOLEAN = {"active", "primary"}
TRUE = {"true", "1", "yes", "y", "enabled", "active", "on"}
FALSE = {"false", "0", "no", "n", "disabled", "inactive", "off"}


@dataclass(frozen=True)
class Path:
    """A place in a resource; `element_type` is the `type` of an element of a multi-valued attribute."""

    text: str
    urn: str | None
    attribute: str
    element_type: str | None
    sub_attribute: str | None

    @property
    def is_in_list(self) -> bool:
        """Whether the value is in an element of a list."""
        return self.element_type is not None or (self.urn is None and self.attribute in MULTI_VALUED)

    def put(self, resource: Document, text: str) -> None:
        """Set the value. Raises InvalidRecordError if it is no boolean where one is needed."""
        target = resource if self.urn is None else resource.setdefault(self.urn, {})
        value = self._value(text)
        if self.is_in_list:
            _element(target.setdefault(self.attribute, []), self.element_type)[self.sub_attribute or "value"] = value
        elif self.sub_attribute is not None:
            target.setdefault(self.attribute, {})[self.sub_attribute] = value
        else:
            target[self.attribute] = value

    def get(self, resource: Document) -> str:
        """The value as text, "" for none."""
        found: Any = resource if self.urn is None else resource.get(self.urn)
        found = found.get(self.attribute) if isinstance(found, dict) else None
        if self.is_in_list:
            elements = [one for one in found or () if one.get("type") == self.element_type]
            found = elements[0].get(self.sub_attribute or "value") if elements else None
        elif self.sub_attribute is not None:
            found = found.get(self.sub_attribute) if isinstance(found, dict) else None
        if isinstance(found, bool):
            return "true" if found else "false"
        return "" if found is None else str(found)

    def _value(self, text: str) -> str | bool:
        if (self.sub_attribute or self.attribute) not in BOOLEAN or self.urn is not None:
            return text
        lowered = text.strip().lower()
        if lowered in TRUE or lowered in FALSE:
            return lowered in TRUE
        raise InvalidRecordError(f"{self.text} must be true or false.", text)


def parse_path(text: str) -> Path:
    """The path that `text` is. Raises FormatError."""
    match = PATH.fullmatch(text)
    if match is None:
        raise FormatError(
            f"{shown(text)!r} is not an attribute path. Write for example userName, name.givenName,"
            ' emails[type eq "work"].value or urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department.'
        )
    return Path(text, match["urn"], match["attribute"], match["type"], match["sub"])


def _element(elements: list[Document], element_type: str | None) -> Document:
    """The element with a type, which is added if there is none."""
    for one in elements:
        if one.get("type") == element_type:
            return one
    elements.append({} if element_type is None else {"type": element_type})
    return elements[-1]
