"""The logs to which a process has appended lately."""

import time

import pytest

from quartet_audit.checkpoints.grown_logs import KEPT, GrownLogs


def test_a_log_is_looked_at_until_a_while_after_it_was_last_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    grown = GrownLogs()
    grown.add({"acme"})
    grown.add({"globex"})
    now += KEPT - 1
    assert sorted(grown.recent()) == ["acme", "globex"]
    grown.add({"acme"})
    now += 2
    assert grown.recent() == ["acme"]
    now += KEPT
    assert grown.recent() == []
