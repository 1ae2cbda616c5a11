"""Alert rules: durations, names of labels, and the texts of annotations."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from quartet_common.core.errors import BadRequestError
from quartet_metrics.alerts.rule_domain import (
    LATE,
    Definition,
    Rule,
    annotations_of,
    check_definition,
    read_duration,
)
from quartet_metrics.alerts.rule_models import RULE_EXAMPLE

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("500ms", 0.5), ("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("4w", 2_419_200)]
)
def test_durations_are_those_of_prometheus(text: str, seconds: float) -> None:
    assert read_duration("for", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-5m", "5 m", "5M", "1y", "31d", "999999999w", "m", "5m;"])
def test_other_durations_are_refused_with_their_member_and_value(text: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_duration("keep_firing_for", text)
    assert caught.value.detail == (
        "keep_firing_for must be a duration of at most 30 days, such as 30s, 5m or 1h30m, got " + repr(text) + "."
    )


def test_the_example_of_the_reference_is_a_rule() -> None:
    check_definition(msgspec.convert(RULE_EXAMPLE, Definition))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"expr": "a\0"}, "expr must not contain a NUL character."),
        ({"for": "x"}, "for must be a duration"),
        ({"keep_firing_for": "x"}, "keep_firing_for must be a duration"),
        ({"labels": {"a-b": "x"}}, "labels has the name 'a-b'"),
        ({"labels": {"alertname": "x"}}, "labels.alertname is reserved"),
        ({"labels": {"tenant": "x"}}, "labels.tenant is reserved"),
        ({"labels": {"severity": "x"}}, "labels.severity is reserved. Use another name, or the member severity."),
        ({"labels": {"__x": "x"}}, "labels.__x is reserved"),
        ({"annotations": {"": "x"}}, "annotations has the name ''"),
        ({"annotations": {"a": "{{ humanize $value }}"}}, "annotations.a may have the placeholders {{ $value }} and"),
    ],
)
def test_an_invalid_rule_is_refused_with_its_member(given: dict[str, Any], problem: str) -> None:
    definition = msgspec.convert({"name": "n", "expr": "x", **given}, Definition)
    with pytest.raises(BadRequestError) as caught:
        check_definition(definition)
    assert caught.value.detail.startswith(problem)


def test_annotations_have_the_value_and_the_labels_of_the_alert() -> None:
    text = "{{ $value }} in {{$labels.queue}} of {{ $labels.missing }}."
    definition = Definition(name="n", expr="x", annotations={"summary": text, "plain": "$value"})
    check_definition(definition)
    found = annotations_of(definition, {"queue": "{{ $value }}"}, "3")
    assert found == {"summary": "3 in {{ $value }} of .", "plain": "$value"}


def test_a_rule_says_that_its_evaluation_is_late() -> None:
    rule = Rule("t", uuid4(), 1, Definition(name="n", expr="x"), NOW, NOW, None, "no such function", NOW)
    assert rule.problem_at(NOW + LATE - timedelta(seconds=1)) == "no such function"
    late = "The evaluation is late since 2026-01-31T09:00:00+00:00: its alerts keep their states."
    assert rule.problem_at(NOW + LATE) == late
