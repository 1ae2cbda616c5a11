"""The PATCH engine: applies operations to one resource in order, all or none (RFC 7644 3.5.2)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quartet_scim.attribute_conversion import MAX_KEYS
from quartet_scim.errors import ScimError
from quartet_scim.patch import filtered_values, multi_values, single_values
from quartet_scim.patch.messages import Op, Operation, operation_error, sole
from quartet_scim.patch.patch_budget import MAX_BUDGET, PatchBudget
from quartet_scim.patch.path_targets import Target, Targets, invalid_path, qualified
from quartet_scim.patch.working_copy import State
from quartet_scim.patch.writable_attributes import WritableAttribute, require_mutable, require_optional
from quartet_scim.schema import ResourceType
from quartet_scim.value_conversion import WrongValueError


@dataclass(frozen=True, slots=True)
class Patched:
    """A resource after a PATCH.

    attributes: the document to store, as the Normaliser gives it. secrets: by the Normaliser's names; None where the
    secret is to be forgotten. changed: whether there is anything to store.
    """

    attributes: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)
    changed: bool


class PatchEngine:
    """Patches resources of one type: made once, used for all requests, without state."""

    def __init__(self, resource_type: ResourceType) -> None:
        self._targets = Targets(resource_type)

    def apply(
        self, attributes: Mapping[str, Any], operations: Iterable[Operation], budget: int = MAX_BUDGET
    ) -> Patched:
        """The resource after the operations.

        attributes: as `Normaliser` gives them; they are not changed, but the result shares what stays as it is.
        Raises ScimError 400 that names the operation and the attribute: invalidPath, noTarget, mutability,
        invalidValue, invalidSyntax, and tooMany where the operations would compare more values than `budget` allows.
        """
        state = State(attributes, self._targets)
        run = _Run(self._targets, state, PatchBudget(budget))
        for operation in operations:
            try:
                run.apply(operation)
            except (WrongValueError, ScimError) as wrong:
                raise operation_error(operation.index, wrong) from None
        found = state.finished()
        return Patched(found, state.secrets, bool(state.secrets) or found != attributes)


class _Run:
    """One message applied to one resource."""

    __slots__ = ("_budget", "_index", "_names_value", "_state", "_targets")

    def __init__(self, targets: Targets, state: State, budget: PatchBudget) -> None:
        self._targets = targets
        self._state = state
        self._budget = budget
        self._index = 0
        self._names_value = True

    def apply(self, operation: Operation) -> None:
        self._index = operation.index
        self._names_value = operation.names_value
        if operation.path is None:
            self._write_all(Target(None), operation.op, operation.value)
            return
        target = self._targets.find(operation.path)
        if target is None:
            raise invalid_path("is not an attribute of this resource type")
        if target.read_only:
            raise WrongValueError("is read-only", "mutability").under(target.name)
        if target.writable is None:
            self._write_all(target, operation.op, operation.value)
        else:
            self._write(target, target.writable, operation.op, operation.value)

    def _write_all(self, container: Target, op: Op, value: Any) -> None:
        """Write all attributes of an object, which is the value for the resource or one of its extensions.

        Ignores unknown and read-only ones: Okta and Entra ID send whole profiles with the id.
        """
        if container.urn is not None and value is None and op is Op.ADD:
            return
        if container.urn is not None and (op is Op.REMOVE or value is None):
            self._state.drop_extension(container.urn, self._index)
            return
        if op is Op.REMOVE:
            raise WrongValueError("must name the attribute to remove", "noTarget").under("path")
        for target, item in self._targets_in(container, value):
            if target.writable is None:
                self._write_all(target, op, item)
            else:
                self._write(target, target.writable, op, item)

    def _targets_in(self, container: Target, value: Any) -> Iterator[tuple[Target, Any]]:
        prefix = "" if container.urn is None else f"{container.urn}:"
        value = sole(value)
        if not isinstance(value, dict):
            raise WrongValueError("must be an object of attributes").under(container.urn or "value")
        if len(value) > MAX_KEYS:
            raise WrongValueError(f"must not have more than {MAX_KEYS} attributes").under(container.urn or "value")
        if len({name.lower() for name in value}) != len(value):
            twice = WrongValueError("has an attribute twice, in different case", "invalidSyntax")
            raise twice.under(container.urn or "value")
        for name, item in value.items():
            target = self._targets.find(prefix + name)
            if target is not None and not target.read_only:
                yield target, item

    def _write(self, target: Target, writable: WritableAttribute, op: Op, value: Any) -> None:
        if writable.name == "schemas" and target.urn is None:
            if op is Op.REMOVE:
                raise WrongValueError("is required and cannot be removed", "mutability").under("schemas")
            return  # `schemas` is derived from the attributes
        old = None if writable.is_secret else self._state.get(target.urn, writable.name)
        try:
            new = self._changed(target, writable, old, op, value)
            if new is None and old is not None:
                require_optional(writable)
            require_mutable(writable, old, new)
        except WrongValueError as wrong:
            raise wrong.under(qualified(target.urn, writable.name)) from None
        if writable.is_secret:
            self._state.put_secret(qualified(target.urn, writable.name), new, op)
        elif new is not old:
            self._state.put(target.urn, writable, new, self._index)

    def _changed(self, target: Target, writable: WritableAttribute, old: Any, op: Op, value: Any) -> Any:
        if writable.many:
            self._budget.spend(len(old or ()))
            return self._changed_list(target, writable, old, op, value)
        if target.sub is not None:
            if op is Op.REMOVE:
                return single_values.without(old or {}, target.sub) or None
            return single_values.written(writable, old, op, {target.sub.name: value})
        return None if op is Op.REMOVE else single_values.written(writable, old, op, value)

    def _changed_list(
        self, target: Target, writable: WritableAttribute, old: list[Any] | None, op: Op, value: Any
    ) -> Any:
        if target.selection is not None or target.sub is not None:
            return filtered_values.written(target, writable, old, op, value, self._budget)
        if op is not Op.REMOVE:
            return multi_values.written(writable, old, op, value)
        if not self._names_value:
            return None
        return multi_values.without_those(writable, old or [], value, self._budget) or None
