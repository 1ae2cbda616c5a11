"""The states of alerts: for, keep_firing_for, the labels that tell alerts apart, and what cannot be alerts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quartet_metrics.alerts.alert_domain import MAX_ALERTS, Alert, Found, Outcome, evaluate, find
from quartet_metrics.alerts.rule_domain import Definition
from quartet_metrics.prometheus.prometheus_domain import QueryError

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
A, B = Found({"queue": "a"}, "1"), Found({"queue": "b"}, "2")


class Evaluated:
    """A rule that is evaluated every 15 s."""

    def __init__(self, hold: str = "0s", keep: str = "0s") -> None:
        self.definition = Definition(name="n", expr="x", hold=hold, keep_firing_for=keep)
        self.alerts: list[Alert] = []
        self.now = NINE - 15 * SECOND

    def get(self, *found: Found, filled: int = 5) -> Outcome:
        """An evaluation, so many seconds after all series were written to the engine."""
        self.now += 15 * SECOND
        outcome = evaluate(self.definition, self.alerts, found, self.now, self.now - filled * SECOND)
        self.alerts = outcome.alerts
        return outcome


def test_an_alert_without_a_time_fires_at_once_and_is_resolved_when_it_is_not_found() -> None:
    rule = Evaluated()
    [fired] = rule.get(A).fired
    assert (fired.labels, fired.value, fired.active_at, fired.fired_at) == ({"queue": "a"}, "1", NINE, NINE)
    assert rule.get(A) == Outcome([fired])
    assert rule.get() == Outcome([], [], [fired])
    assert rule.get() == Outcome()


def test_an_alert_is_pending_until_it_was_found_for_long_enough() -> None:
    rule = Evaluated(hold="30s")
    [pending] = rule.get(A).alerts
    assert (pending.state, pending.fired_at) == ("pending", None)
    assert rule.get(A) == Outcome([pending])
    [fired] = rule.get(A).fired
    assert (fired.id, fired.state, fired.active_at, fired.fired_at) == (pending.id, "firing", NINE, NINE + 30 * SECOND)


def test_a_pending_alert_that_is_not_found_ends_without_an_event_and_begins_anew() -> None:
    rule = Evaluated(hold="30s")
    [first] = rule.get(A).alerts
    rule.get(A)
    assert rule.get() == Outcome()
    [second] = rule.get(A).alerts
    assert (second.id != first.id, second.active_at) == (True, NINE + 45 * SECOND)
    assert rule.get(A).fired == []
    assert [one.id for one in rule.get(A).fired] == [second.id]


def test_an_alert_keeps_firing_for_a_time_and_continues_if_it_is_found_again() -> None:
    rule = Evaluated(keep="30s")
    [fired] = rule.get(A).fired
    for found in ((), (), (A,), (), ()):
        outcome = rule.get(*found)
        assert ([one.id for one in outcome.alerts], outcome.fired, outcome.resolved) == ([fired.id], [], [])
    assert [one.id for one in rule.get().resolved] == [fired.id]


@pytest.mark.parametrize("hold", ["0s", "1h"])
def test_an_alert_does_not_end_until_all_series_were_written_again_since_it_began(hold: str) -> None:
    rule = Evaluated(hold)
    [alert] = rule.get(A).alerts
    assert rule.get(filled=15) == Outcome([alert])
    assert rule.get(filled=30) == Outcome([alert])
    ended = rule.get(filled=44)
    assert (ended.alerts, ended.resolved) == ([], [alert] if alert.fired_at else [])


def test_each_label_set_is_an_alert_of_its_own_and_the_value_is_the_last() -> None:
    rule = Evaluated(hold="15s")
    rule.get(A)
    assert [one.labels for one in rule.get(A, B).fired] == [A.labels]
    outcome = rule.get(Found(B.labels, "7"))
    assert [(one.labels, one.value) for one in outcome.fired] == [(B.labels, "7")]
    assert [one.labels for one in outcome.resolved] == [A.labels]
    [again] = rule.get(Found(B.labels, "8")).alerts
    assert (again.value, again.fired_at) == ("8", NINE + 30 * SECOND)


def body(*series: dict[str, str], kind: str = "vector") -> bytes:
    result: list[Any] = [{"metric": labels, "value": [1, "3"]} for labels in series]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_labels_of_the_rule_replace_those_of_the_series_and_the_name_of_the_metric_is_left_out() -> None:
    definition = Definition(name="Many", expr="x", severity="critical", labels={"team": "identity", "queue": "q"})
    [found] = find(definition, body({"__name__": "x", "queue": "a", "severity": "none", "zone": "z"}))
    labels = {"alertname": "Many", "queue": "q", "severity": "critical", "team": "identity", "zone": "z"}
    assert (found.labels, found.value) == (labels, "3")


def test_a_result_that_cannot_be_alerts_is_refused_with_a_reason() -> None:
    definition = Definition(name="n", expr="x", labels={"queue": "q"})
    with pytest.raises(QueryError, match="a range of samples"):
        find(definition, body(kind="matrix"))
    with pytest.raises(QueryError, match="several series with the same labels"):
        find(definition, body({"queue": "a"}, {"queue": "b"}))
    many = [{"number": str(number)} for number in range(MAX_ALERTS + 1)]
    assert len(find(definition, body(*many[1:]))) == MAX_ALERTS
    with pytest.raises(QueryError, match="expr gives 101 series; a rule may have 100 alerts"):
        find(definition, body(*many))
