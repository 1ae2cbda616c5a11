"""Groups the steps of a Bulk request into runs: steps that one transaction or one call can carry out."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from quartet_scim.bulk import Method, Plan
from quartet_users.bulk.bulk_domain import Step

USERS = "/Users"
GROUPS = "/Groups"
ENDPOINTS = (USERS, GROUPS)
"""In this order: groups need their members, users need no group."""
MAX_RUN = 250
"""Operations of one run, about 25 ms of Python for users of 3 kB; a cycle is not split."""


class Kind(Enum):
    """How the operations of a run are carried out."""

    CREATE_USERS = auto()
    GROUPS = auto()
    ONE = auto()


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive steps that are carried out together."""

    kind: Kind
    steps: tuple[Step, ...]

    @property
    def indexes(self) -> list[int]:
        """The operations, in order."""
        return [index for step in self.steps for index in step]


def runs(plan: Plan) -> Iterator[Run]:
    """The steps of a plan in order, as runs. A group operation is never in the same run as one that it needs."""
    kind, steps = Kind.ONE, list[Step]()
    together: set[int] = set()
    for step in plan.steps:
        next_kind = _kind(plan, step)
        needs = set[int]().union(*(plan.operations[index].needs for index in step))
        splits = next_kind is not kind or kind is Kind.ONE or len(together) + len(step) > MAX_RUN
        if steps and (splits or (kind is Kind.GROUPS and needs & together)):
            yield Run(kind, tuple(steps))
            steps, together = [], set()
        kind = next_kind
        steps.append(step)
        together.update(step)
    if steps:
        yield Run(kind, tuple(steps))


def _kind(plan: Plan, step: Step) -> Kind:
    planned = plan.operations[step[0]]
    operation = planned.operation
    if operation.endpoint == USERS and operation.method is Method.POST:
        return Kind.CREATE_USERS  # also with a fault: it does not split the run
    return Kind.GROUPS if operation.endpoint == GROUPS and planned.fault is None and len(step) == 1 else Kind.ONE
