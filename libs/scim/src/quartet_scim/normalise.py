"""Normalises a sent resource to its stored form by the schemas of its resource type, which are compiled once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from quartet_scim.attribute_conversion import Field, ObjectRules, compiled, ignore
from quartet_scim.errors import invalid_syntax
from quartet_scim.schema import Attribute, ResourceType, Schema, common_attributes
from quartet_scim.usernames import prepare
from quartet_scim.value_conversion import WrongValueError, text

SEARCHED = frozenset({"userName", "externalId", "displayName"})
MAX_INDEXED_ATTRIBUTE_BYTES = 1024
"""Maximum bytes of an attribute with a database index, whose entries PostgreSQL limits to about 2,700 bytes."""
MAX_PREPARED_BYTES = 2048
"""Maximum bytes of the compared form of a userName, which can be three times as long as the sent one."""


@dataclass(frozen=True, slots=True)
class Normalised:
    """A resource in its stored form.

    attributes: the document to store: `schemas` first, canonical names, nothing read-only, null, empty or secret.
    secrets: the values that are never returned, by name (`password`), or by URN, colon and name for an extension's.
    """

    attributes: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)


class Normaliser:
    """Normalises resources of one type: made once, used for all requests, without state.

    Raises ValueError for an unsupported schema: with a complex attribute inside another, a secret sub-attribute, or two
    attributes whose names differ in case only.
    """

    def __init__(self, resource_type: ResourceType) -> None:
        self._core = resource_type.schema.id
        self._extensions = tuple(extension.id for extension in resource_type.extensions)
        self._secrets = _secret_names(None, (*common_attributes(), *resource_type.schema.attributes))
        for extension in resource_type.extensions:
            self._secrets += _secret_names(extension.id, extension.attributes)
        self._rules = _rules(resource_type, self._check_schemas)

    def normalise(self, payload: object) -> Normalised:
        """The resource in a POST or PUT body (RFC 7644 3.3, 3.5.1), checked and in canonical form.

        Raises ScimError 400: invalidSyntax for what is not a resource of this type (no object, no `schemas`, an
        attribute given twice in different case), invalidValue with the attribute's path for anything else. The payload
        itself is not changed.
        """
        if not isinstance(payload, dict):
            raise invalid_syntax("A resource must be a JSON object.")
        try:
            found = self._rules.convert(payload)
        except WrongValueError as wrong:
            raise wrong.scim_error() from None
        secrets = self._split_off_secrets(found)
        del found["schemas"]
        schemas = [self._core, *(urn for urn in self._extensions if urn in found)]
        return Normalised({"schemas": schemas, **found}, secrets)

    def _check_schemas(self, value: Any) -> list[str]:
        # RFC 7643 3: the attribute names the schemas of the resource; unknown URNs are ignored
        if not isinstance(value, list) or not all(isinstance(urn, str) for urn in value):
            raise WrongValueError("must be a list of schema URNs", "invalidSyntax")
        if self._core.lower() not in (urn.lower() for urn in value):
            raise WrongValueError(f"must hold {self._core}", "invalidSyntax")
        return [self._core]

    def _split_off_secrets(self, found: dict[str, Any]) -> dict[str, Any]:
        secrets: dict[str, Any] = {}
        for urn, name in self._secrets:
            holder = found if urn is None else found.get(urn, {})
            if name not in holder:
                continue
            secrets[name if urn is None else f"{urn}:{name}"] = holder.pop(name)
            if urn is not None and not holder:
                del found[urn]
        return secrets


def core_field(attribute: Attribute) -> Field:
    """A core attribute as a field; attributes with an index have a lower size limit than others."""
    one = compiled(attribute)
    if attribute.name in SEARCHED and one.convert is not ignore:
        convert = _user_name if attribute.name == "userName" else _searched_text
        return replace(one, convert=convert)
    return one


_searched_text = text(MAX_INDEXED_ATTRIBUTE_BYTES)


def _user_name(value: Any) -> str:
    written: str = _searched_text(value)
    if not written.isascii() and len(prepare(written).encode()) > MAX_PREPARED_BYTES:
        raise WrongValueError(f"must not be longer than {MAX_PREPARED_BYTES} bytes in the form that is compared")
    return written


def _secret_names(urn: str | None, attributes: Iterable[Attribute]) -> tuple[tuple[str | None, str], ...]:
    return tuple((urn, attribute.name) for attribute in attributes if attribute.is_secret)


def _rules(resource_type: ResourceType, check_schemas: Any) -> ObjectRules:
    fields = [Field("schemas", check_schemas, required="invalidSyntax")]
    fields.extend(core_field(attribute) for attribute in (*common_attributes(), *resource_type.schema.attributes))
    fields.extend(_extension(schema) for schema in resource_type.extensions)
    return ObjectRules(fields, separator="")


def _extension(schema: Schema) -> Field:
    rules = ObjectRules([compiled(attribute) for attribute in schema.attributes], separator=":")
    return Field(schema.id, rules.convert_or_nothing)
