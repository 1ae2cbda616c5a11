"""The rules for checks: whether a user is in a group, and by which way, out of what is known of the graph; no I/O."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict
from uuid import UUID

from quartet_common.ids import parse_id
from quartet_groups.nesting import Chains, Edge


class Question(NamedTuple):
    """Is `user` in `group`? Both as they were sent; what is no id is nobody's."""

    user: str
    group: str


class Step(TypedDict):
    """A group on the way."""

    value: str
    display: str


class Answer(TypedDict):
    """Whether the user is in the group, and the shortest chain of groups that makes it so, its own first."""

    user: str
    group: str
    member: bool
    direct: bool
    path: list[Step]


@dataclass(frozen=True)
class Graph:
    """What is to be known of memberships at one version: (user, group) and (child, parent), in the order of ids.

    names: of the groups that are asked for or lead to another.
    """

    version: int
    direct: Sequence[tuple[UUID, UUID]]
    edges: Sequence[Edge]
    names: Mapping[UUID, str]


def ids_of(questions: Sequence[Question]) -> tuple[list[UUID], list[UUID]]:
    """The ids of users and of groups that are asked for, each once."""
    users = {parse_id(one.user) for one in questions}
    groups = {parse_id(one.group) for one in questions}
    return [one for one in users if one is not None], [one for one in groups if one is not None]


def answer(questions: Sequence[Question], graph: Graph) -> list[Answer]:
    """The answers to `questions`, in their order."""
    own: dict[UUID, list[UUID]] = defaultdict(list)
    for user, group in graph.direct:
        own[user].append(group)
    chains: dict[UUID, Chains] = {}
    found = []
    for one in questions:
        user_id, group_id = parse_id(one.user), parse_id(one.group)
        way: list[UUID] = []
        if user_id in own and group_id is not None and group_id in graph.names:
            if group_id not in chains:
                chains[group_id] = Chains(group_id, graph.edges)
            way = chains[group_id].from_nearest(own[user_id])
        path = [Step(value=str(step), display=graph.names[step]) for step in way]
        found.append(Answer(user=one.user, group=one.group, member=bool(way), direct=len(way) == 1, path=path))
    return found
