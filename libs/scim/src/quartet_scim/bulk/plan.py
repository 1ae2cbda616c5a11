"""Plans the order of the operations of a Bulk request by their references; those in a cycle are one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quartet_scim.bulk.messages import BulkOperation, Method
from quartet_scim.bulk.reference_cycles import components
from quartet_scim.bulk.references import references, referred, resolved, shown
from quartet_scim.errors import ScimError, invalid_value


@dataclass(frozen=True, slots=True)
class Planned:
    """An operation with ids in the place of references.

    `id`: of the resource that it makes or is about; a text of the client's own, unless it is a POST. `needs`: the
    operations that must have made their resource before. `fault`: why it cannot be carried out.
    """

    operation: BulkOperation
    id: str | None
    data: Any = field(repr=False)
    needs: frozenset[int]
    fault: ScimError | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations by index, and the steps to carry out: one operation each, or several that form a cycle."""

    operations: Sequence[Planned]
    steps: Sequence[tuple[int, ...]]


def make_plan(operations: Sequence[BulkOperation], endpoints: Sequence[str], make_id: Callable[[], str]) -> Plan:
    """Decide on ids and order.

    The ids of new resources are made here, before anything is carried out, so that whatever refers to them can be
    filled in. Steps keep the order of the message where references leave a choice. A resource waits for those that it
    refers to at its own endpoint and at earlier ones of `endpoints`, never for those at later ones: a user refers to a
    group without being in need of it.
    """
    planner = _Planner(operations, endpoints, make_id)
    planned = [planner.plan(one) for one in operations]
    return Plan(planned, components([sorted(one.needs) for one in planned]))


class _Planner:
    """Plans the operations of one request."""

    def __init__(
        self, operations: Sequence[BulkOperation], endpoints: Sequence[str], make_id: Callable[[], str]
    ) -> None:
        self._operations = operations
        self._rank = {endpoint: place for place, endpoint in enumerate(endpoints)}
        posts = [one for one in operations if one.method is Method.POST]
        self._own = {one.index: make_id() for one in posts}
        self._makers: dict[str, int] = {}
        for one in posts:
            if one.bulk_id is not None:
                self._makers.setdefault(one.bulk_id, one.index)
        self._ids = {name: self._own[index] for name, index in self._makers.items()}

    def plan(self, one: BulkOperation) -> Planned:
        """One operation with its references replaced by ids, or with a fault."""
        if one.fault is not None:
            return _at_fault(one, one.fault)
        if one.method is Method.POST and one.bulk_id is not None and self._makers[one.bulk_id] != one.index:
            return _at_fault(one, invalid_value(f"An earlier operation already has the {shown(one.bulk_id)}."))
        inside = references(one.data)
        about = None if one.target is None else referred(one.target)
        names = inside if about is None else inside | {about}
        unknown = min((name for name in names if name not in self._makers), default=None)
        if unknown is not None:
            return _at_fault(one, invalid_value(f"No POST of this message has the {shown(unknown)}, which it needs."))
        makers = {self._makers[name] for name in names} - {one.index}
        return Planned(
            one,
            self._own.get(one.index) or (one.target if about is None else self._ids[about]),
            resolved(one.data, self._ids) if inside else one.data,
            frozenset(maker for maker in makers if self._waits(one, self._operations[maker])),
            None,
        )

    def _waits(self, one: BulkOperation, other: BulkOperation) -> bool:
        if one.endpoint is None or other.endpoint is None:
            return True
        return self._rank[other.endpoint] <= self._rank[one.endpoint]


def _at_fault(one: BulkOperation, fault: ScimError) -> Planned:
    return Planned(one, None, None, frozenset(), fault)
