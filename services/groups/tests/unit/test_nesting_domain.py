"""The rules for groups in groups."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_groups.events import NestedGroup
from quartet_groups.nesting_domain import MAX_LEVELS, Chains, Edge, Surroundings, check_nesting
from quartet_scim.errors import ScimError


def group(number: int) -> UUID:
    return UUID(int=number)


def edges(*pairs: tuple[int, int]) -> list[Edge]:
    return [(group(child), group(parent)) for child, parent in pairs]


def refused(group_id: int, child: int, above: list[Edge], below: int = 1) -> str:
    names = {one: f"g{one.int}" for edge in above for one in edge}
    with pytest.raises(ScimError) as caught:
        check_nesting(group(group_id), [NestedGroup(group(child), f"g{child}")], Surroundings(above, names, below))
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    return caught.value.detail


def test_the_chain_is_the_shortest_of_all() -> None:
    chains = Chains(group(9), edges((1, 2), (2, 3), (3, 9), (1, 4), (4, 9), (5, 1)))
    assert chains.up_from(group(1)) == [group(1), group(4), group(9)]
    assert chains.nearest([group(5), group(3)]) == group(3)
    assert chains.nearest([group(1), group(9)]) == group(9)
    assert (chains.up_from(group(9)), chains.up_from(group(7))) == ([group(9)], [])
    assert chains.nearest([group(7)]) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25), st.integers(0, 8), st.integers(0, 8))
def test_a_chain_is_there_exactly_where_one_can_walk_and_none_is_shorter(
    pairs: list[tuple[int, int]], start: int, target: int
) -> None:
    walked, reached, steps = {start}, {start: 0}, 0
    while walked:
        steps += 1
        walked = {parent for child, parent in pairs if child in walked} - reached.keys()
        reached |= dict.fromkeys(walked, steps)
    chain = Chains(group(target), edges(*pairs)).up_from(group(start))
    assert bool(chain) == (target in reached)
    if chain:
        assert (chain[0], chain[-1], len(chain) - 1) == (group(start), group(target), reached[target])
        assert set(pairwise(chain)) <= set(edges(*pairs))


def test_a_group_is_not_its_own_member() -> None:
    assert str(group(1)) in refused(1, 1, [])


def test_a_cycle_is_refused_with_the_way_that_it_would_take() -> None:
    detail = refused(1, 3, edges((1, 2), (2, 3)))
    assert f"g3 ({group(3)}) > g2 ({group(2)}) > g1 ({group(1)})" in detail


def test_a_diamond_is_no_cycle() -> None:
    above = edges((1, 2), (1, 3), (2, 4), (3, 4))
    check_nesting(group(1), [NestedGroup(group(5), "g5")], Surroundings(above, {}, 1))


def test_the_longest_chain_counts_and_may_have_so_many_levels_and_no_more() -> None:
    above = [*edges(*((one, one + 1) for one in range(1, MAX_LEVELS - 1))), *edges((1, MAX_LEVELS - 1))]
    nested = [NestedGroup(group(99), "g99")]
    check_nesting(group(1), nested, Surroundings(above, {}, 1))
    assert "50 levels" in refused(1, 99, above, below=2)
