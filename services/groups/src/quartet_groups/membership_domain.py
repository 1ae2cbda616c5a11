"""The rules for checks: whether a user is in a group, and by which path of groups; no I/O."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict
from uuid import UUID

from quartet_common.core.identifiers import parse_id
from quartet_groups.nesting_domain import Chains, Edge


class Question(NamedTuple):
    """A check whether `user` is in `group`, with the ids as sent; invalid ids belong to no user or group."""

    user: str
    group: str


class Step(TypedDict):
    """A group on a path."""

    value: str
    display: str


class Answer(TypedDict):
    """Whether the user is in the group, and the shortest path of groups, the user's direct group first."""

    user: str
    group: str
    member: bool
    direct: bool
    path: list[Step]


@dataclass(frozen=True)
class Graph:
    """Memberships at one version: `direct` as (user, group), `edges` as (child, parent), both in the order of ids.

    names: of the groups in question and those on paths to them.
    """

    version: int
    direct: Sequence[tuple[UUID, UUID]]
    edges: Sequence[Edge]
    names: Mapping[UUID, str]


def ids_of(questions: Sequence[Question]) -> tuple[list[UUID], list[UUID]]:
    """The ids of users and of groups in the questions, each once."""
    users = {parse_id(one.user) for one in questions}
    groups = {parse_id(one.group) for one in questions}
    return [one for one in users if one is not None], [one for one in groups if one is not None]


def answer(questions: Sequence[Question], graph: Graph) -> list[Answer]:
    """The answers to `questions`, in their order."""
    ids = {text: parse_id(text) for one in questions for text in one}
    own: dict[UUID | None, list[UUID]] = defaultdict(list)
    for user, group in graph.direct:
        own[user].append(group)
    ways: dict[UUID, _Ways] = {}
    found = []
    for one in questions:
        starts, target = own.get(ids[one.user], ()), ids[one.group]
        path: list[Step] = []
        if starts and target is not None and target in graph.names:
            if target not in ways:
                ways[target] = _Ways(target, graph)
            path = ways[target].path(starts)
        found.append(Answer(user=one.user, group=one.group, member=bool(path), direct=len(path) == 1, path=path))
    return found


class _Ways:
    """The paths to one group, each built once for all users."""

    def __init__(self, target: UUID, graph: Graph) -> None:
        self._chains = Chains(target, graph.edges)
        self._names = graph.names
        self._paths: dict[UUID, list[Step]] = {}

    def path(self, starts: Sequence[UUID]) -> list[Step]:
        start = self._chains.nearest(starts)
        if start is None:
            return []
        if start not in self._paths:
            chain = self._chains.up_from(start)
            self._paths[start] = [Step(value=str(step), display=self._names[step]) for step in chain]
        return self._paths[start]
