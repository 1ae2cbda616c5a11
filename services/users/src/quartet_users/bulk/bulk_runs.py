"""A Bulk's steps in runs: what can be carried out by one statement or one call goes together."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from quartet_scim.bulk import Method, Plan
from quartet_users.bulk.bulk_domain import Step

USERS = "/Users"
GROUPS = "/Groups"
ENDPOINTS = (USERS, GROUPS)
"""A group is in need of its members, a user of no group: in this order."""
MAX_RUN = 250
"""Operations of one transaction or call; a circle is not taken apart. Some 25 ms of Python for users of 3 kB."""


class Kind(Enum):
    """How the operations of a run are carried out."""

    CREATE_USERS = auto()
    GROUPS = auto()
    ONE = auto()


@dataclass(frozen=True, slots=True)
class Run:
    """Steps that follow each other and are carried out at once."""

    kind: Kind
    steps: tuple[Step, ...]

    @property
    def indexes(self) -> list[int]:
        """The operations, in order."""
        return [index for step in self.steps for index in step]


def runs(plan: Plan) -> Iterator[Run]:
    """The steps of a plan in order. No group operation shares a run with one that it needs."""
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
        return Kind.CREATE_USERS  # those at fault too: they need not part the others
    return Kind.GROUPS if operation.endpoint == GROUPS and planned.fault is None and len(step) == 1 else Kind.ONE
