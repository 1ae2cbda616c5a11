"""Strongly connected components, by Tarjan's algorithm without recursion: a chain may be as long as a message."""

from collections.abc import Sequence


def components(needs: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The strongly connected components of the nodes 0, 1, ..., each after those that it needs (`needs[node]`).

    Otherwise nodes are in the order of their numbers, also within a component.
    """
    return _Search(needs).run()


class _Search:
    """One depth-first search: nodes are numbered as they are visited, `lowest` is the lowest reachable number."""

    def __init__(self, needs: Sequence[Sequence[int]]) -> None:
        self._needs = needs
        self._number: dict[int, int] = {}
        self._lowest: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()
        self._found: list[tuple[int, ...]] = []

    def run(self) -> list[tuple[int, ...]]:
        """All components."""
        for node in range(len(self._needs)):
            if node not in self._number:
                self._search_from(node)
        return self._found

    def _search_from(self, start: int) -> None:
        self._meet(start)
        path = [(start, iter(self._needs[start]))]
        while path:
            node, rest = path[-1]
            following = next((one for one in rest if not self._is_settled(node, one)), None)
            if following is not None:
                self._meet(following)
                path.append((following, iter(self._needs[following])))
                continue
            path.pop()
            if path:
                before = path[-1][0]
                self._lowest[before] = min(self._lowest[before], self._lowest[node])
            self._close(node)

    def _meet(self, node: int) -> None:
        self._number[node] = self._lowest[node] = len(self._number)
        self._open.append(node)
        self._is_open.add(node)

    def _is_settled(self, node: int, needed: int) -> bool:
        """Whether `needed` was visited before; if it is still on the stack, both are in one component."""
        if needed not in self._number:
            return False
        if needed in self._is_open:
            self._lowest[node] = min(self._lowest[node], self._number[needed])
        return True

    def _close(self, node: int) -> None:
        if self._lowest[node] != self._number[node]:
            return
        place = self._open.index(node) if self._open[-1] != node else len(self._open) - 1
        circle = self._open[place:]
        del self._open[place:]
        self._is_open.difference_update(circle)
        self._found.append(tuple(sorted(circle)))
