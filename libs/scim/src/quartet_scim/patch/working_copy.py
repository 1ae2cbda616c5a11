"""The working copy of a resource during a PATCH: written values over the old ones, which are not changed."""

from collections.abc import Mapping
from typing import Any

from quartet_scim.patch.messages import Op, operation_error
from quartet_scim.patch.path_targets import Targets
from quartet_scim.patch.writable_attributes import WritableAttribute, require_mutable
from quartet_scim.value_conversion import WrongValueError


class State:
    """The attributes after the operations so far. secrets: written values that are not stored with them."""

    __slots__ = ("_found", "_targets", "_written", "_written_extensions", "secrets")

    def __init__(self, attributes: Mapping[str, Any], targets: Targets) -> None:
        self.secrets: dict[str, Any] = {}
        self._targets = targets
        self._found: dict[str, Any] = dict(attributes)
        self._written: dict[tuple[str | None, str], int] = {}
        self._written_extensions: dict[str, int] = {}

    def get(self, urn: str | None, name: str) -> Any:
        """The value, None for none."""
        holder = self._found if urn is None else self._found.get(urn, {})
        return holder.get(name)

    def put(self, urn: str | None, writable: WritableAttribute, value: Any, index: int) -> None:
        """Write a value (None: remove it) for the operation with an index."""
        holder = self._found if urn is None else self._extension(urn, index)
        if value is None:
            holder.pop(writable.name, None)
        else:
            holder[writable.name] = value
        self._written[urn, writable.name] = index

    def put_secret(self, name: str, value: Any, op: Op) -> None:
        """Write a secret; None removes it, except in an add, where it has no effect."""
        if value is not None or op is not Op.ADD:
            self.secrets[name] = value

    def drop_extension(self, urn: str, index: int) -> None:
        """Remove all attributes of an extension."""
        for writable in self._targets.extensions[urn]:
            if writable.is_secret:
                self.put_secret(f"{urn}:{writable.name}", None, Op.REMOVE)
            elif (old := self.get(urn, writable.name)) is not None:
                try:
                    require_mutable(writable, old, None)
                except WrongValueError as wrong:
                    raise wrong.under(f"{urn}:{writable.name}") from None
        self._extension(urn, index).clear()

    def finished(self) -> dict[str, Any]:
        """The document to store, with checked attributes and derived `schemas`.

        Raises ScimError 400 with the last operation that wrote an invalid value.
        """
        for (urn, name), index in self._written.items():
            try:
                self._check(urn, self._targets.writables[urn, name])
            except WrongValueError as wrong:
                raise operation_error(index, wrong.under(name if urn is None else f"{urn}:{name}")) from None
        for urn, index in self._written_extensions.items():
            if not self._found[urn]:
                del self._found[urn]
                continue
            for writable in self._targets.extensions[urn]:
                if writable.attribute.required and writable.name not in self._found[urn]:
                    raise operation_error(index, WrongValueError("is required").under(f"{urn}:{writable.name}"))
        self._found["schemas"] = [self._targets.core, *self._extensions()]
        return self._found

    def _extensions(self) -> list[str]:
        # values of a schema that this process does not know yet stay unchanged
        known = self._targets.extensions
        strange = [urn for urn in self._found.get("schemas", ()) if urn not in known and urn != self._targets.core]
        return [urn for urn in (*known, *strange) if urn in self._found]

    def _check(self, urn: str | None, writable: WritableAttribute) -> None:
        holder = self._found if urn is None else self._found[urn]
        value = holder.get(writable.name)
        if value is None:
            return
        kept = writable.whole(value)
        if writable.attribute.required and (kept is None or (isinstance(kept, str) and not kept.strip())):
            raise WrongValueError("is required")
        if kept is None:
            del holder[writable.name]
        else:
            holder[writable.name] = kept

    def _extension(self, urn: str, index: int) -> dict[str, Any]:
        if urn not in self._written_extensions:
            self._found[urn] = dict(self._found.get(urn, {}))
        self._written_extensions[urn] = index
        extension: dict[str, Any] = self._found[urn]
        return extension
