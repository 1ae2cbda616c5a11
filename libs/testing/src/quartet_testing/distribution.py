"""Distributes tests over the processes of xdist: by file, and unit tests last, so that all end at the same time."""

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

CONVENTIONS: Final = ("archives", "exports", "isolation", "schemas", "tables")
ON_THE_STACK: Final = ("tests/e2e/", *(f"tests/conventions/test_{name}.py" for name in CONVENTIONS))
"""How the paths of tests on the fixture `stack` begin: one process runs all of them, on one stack."""


def group_of(test: str) -> str:
    """What runs in the same process as the test of this id: all that share the stack, or else its file."""
    return "stack" if test.startswith(ON_THE_STACK) else test.partition("::")[0]


def rank(test: str) -> int:
    """The place of a test in a run: unit tests are the last, which are short and fill what is left."""
    return 0 if test.startswith(ON_THE_STACK) else 1 + ("/unit/" in group_of(test))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Gives whole groups to processes, and survives the loss of a process, which costs one test.

    xdist's own waits forever after a process has died: it gives the groups that were done, which have no tests left, to
    the next process, and waits for one of their tests. It also repeats the test that was lost.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def remove_node(self, node: Any) -> str | None:
        """Take back what a process has not run, but for the test that it died of. Gives the id of that test."""
        groups = self.assigned_work.pop(node)
        left = {name: {test: False for test, done in tests.items() if not done} for name, tests in groups.items()}
        running = next((test for tests in left.values() for test in tests), None)
        for name, tests in reversed(left.items()):
            tests.pop(running or "", None)
            if tests:
                self.workqueue[name] = tests
                self.workqueue.move_to_end(name, last=False)
        for other in self.nodes:
            self._reschedule(other)
        return running

    def _reschedule(self, node: Any) -> None:
        """Give a process more groups while it has few tests, and tell it when there are no more."""
        if node.shutting_down or node not in self.registered_collections:
            return
        while self.workqueue and self._pending_of(self.assigned_work[node]) <= 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests of a process that gets them from another one: that one gives them in this order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    if config.getvalue("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # it would put the groups with most tests first, which are not the longest
    return Groups(config, log)
