"""The rules for nesting: no cycles, limited depth, and the shortest chain between groups; no I/O."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from quartet_groups.events import NestedGroup
from quartet_scim.errors import invalid_value

MAX_LEVELS = 50
"""The maximum number of groups on a chain."""

MAX_SHOWN = 64
"""Maximum characters of a group's name in an error."""

Edge = tuple[UUID, UUID]
"""A group and one that it is a member of: (child, parent)."""


class Chains:
    """The shortest chains from all groups below a group up to it."""

    def __init__(self, target: UUID, edges: Iterable[Edge]) -> None:
        children: dict[UUID, list[UUID]] = defaultdict(list)
        for child, parent in edges:
            children[parent].append(child)
        self._next: dict[UUID, UUID | None] = {target: None}
        self._steps = {target: 0}
        level = [target]
        while level:  # breadth first: the first chain found is a shortest one
            level = [child for parent in level for child in children[parent] if self._reach(child, parent)]

    def _reach(self, child: UUID, parent: UUID) -> bool:
        if child in self._next:
            return False
        self._next[child], self._steps[child] = parent, self._steps[parent] + 1
        return True

    def nearest(self, starts: Iterable[UUID]) -> UUID | None:
        """The one of `starts` with the shortest chain, None if there is none from any."""
        reaching = (start for start in starts if start in self._steps)
        return min(reaching, key=lambda one: self._steps[one], default=None)

    def up_from(self, start: UUID) -> list[UUID]:
        """The shortest chain from `start` up to the target, including both; empty if there is none."""
        chain = []
        step = start if start in self._steps else None
        while step is not None:
            chain.append(step)
            step = self._next[step]
        return chain


@dataclass(frozen=True)
class Surroundings:
    """The ancestors of a group that gets groups as members, and the depth of those.

    above: the edges of all chains up from the group. names: of the groups on them. below: the most levels in any of the
    new members, including themselves.
    """

    above: Sequence[Edge]
    names: dict[UUID, str]
    below: int


def check_nesting(group_id: UUID, children: Sequence[NestedGroup], around: Surroundings) -> None:
    """Raise ScimError 400 if adding `children` to the group would close a cycle or exceed MAX_LEVELS."""
    parents: dict[UUID, list[UUID]] = defaultdict(list)
    for child, parent in around.above:
        parents[child].append(parent)
    ancestors = {parent for _, parent in around.above}
    for nested in children:
        chain = Chains(nested.id, around.above).up_from(group_id) if nested.id in ancestors else []
        if nested.id == group_id or chain:
            names = {**around.names, nested.id: nested.display}
            shown = " > ".join(f"{_short(names.get(one, ''))} ({one})" for one in reversed(chain or [group_id]))
            raise invalid_value(
                f"members: a group cannot contain itself, and {nested.id} contains this group already: {shown}."
            )
    if _levels(group_id, parents, {}) + around.below > MAX_LEVELS:
        raise invalid_value(f"members: groups cannot be nested deeper than {MAX_LEVELS} levels.")


def _levels(group_id: UUID, parents: dict[UUID, list[UUID]], known: dict[UUID, int]) -> int:
    """The number of groups on the longest chain up from the group; the recursion is limited by MAX_LEVELS."""
    if group_id not in known:
        known[group_id] = 1 + max((_levels(one, parents, known) for one in parents[group_id]), default=0)
    return known[group_id]


def _short(name: str) -> str:
    return name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..."
