"""What is amiss with the events of a stack, in words."""

from pathlib import Path

import pytest

from quartet_cli import problems
from quartet_cli.health import said
from quartet_cli.problems import EventNumbers, details_of, of_events, parse
from quartet_cli.status import ProcessStatus, problems_of

TEXT = """\
# HELP quartet_outbox_depth events that wait to be published
quartet_outbox_depth{otel_scope_name="quartet_common.messaging.stats"} 1234.0
quartet_outbox_lag_seconds{otel_scope_name="quartet_common.messaging.stats"} 32.4
quartet_queue_messages{queue="quartet.audit"} 7.0
quartet_queue_messages{otel_scope_name="s",queue="quartet.audit.dead"} 2.0
quartet_queue_consumers{queue="quartet.audit"} 0.0
quartet_queue_consumers{queue="quartet.audit.dead"} 0.0
quartet_outbox_depth_created 5.0
"""
NUMBERS = EventNumbers(
    1234, 32.4, {"quartet.audit": 7, "quartet.audit.dead": 2}, {"quartet.audit": 0, "quartet.audit.dead": 0}
)
AUDIT = ["queue without consumer: quartet.audit, in which 7 messages wait", "dead letters: 2 in quartet.audit.dead"]
WAITING = "events wait: 1,234 in the outbox of users, the oldest for 32 s"


def test_the_numbers_of_a_worker_are_read() -> None:
    assert parse(TEXT) == NUMBERS
    assert parse("") == EventNumbers()


def test_events_that_wait_queues_without_consumers_and_dead_letters_are_problems() -> None:
    assert of_events({"users": NUMBERS}, {"users"}) == {"users": [WAITING], "audit": AUDIT}


def test_nothing_is_a_problem_where_all_is_well() -> None:
    well = EventNumbers(9, 9.9, {"quartet.audit": 7, "quartet.audit.dead": 0}, {"quartet.audit": 1})
    assert of_events({"users": well, "audit": well}, ()) == {}


def test_a_consumer_that_one_worker_has_seen_is_one() -> None:
    seen = EventNumbers(0, 0, {"quartet.audit": 7}, {"quartet.audit": 1})
    missed = EventNumbers(0, 0, {"quartet.audit": 7}, {"quartet.audit": 0})
    assert of_events({"users": missed, "audit": seen}, ()) == {}


def test_a_worker_that_is_ready_consumes_whatever_others_have_counted_before() -> None:
    missed = EventNumbers(0, 0, {"quartet.audit": 7}, {"quartet.audit": 0})
    assert of_events({"users": missed}, {"audit"}) == {}


def test_a_problem_is_at_the_worker_of_its_service_and_else_at_one_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"http://users": NUMBERS}
    monkeypatch.setattr(problems, "read", lambda url, _: answers.get(url))
    (tmp_path / "token").write_text("the token\n")
    users = ProcessStatus("users-worker", "running", 7, "http://users", 9, 0)
    audit = ProcessStatus("audit-worker", "unhealthy", 8, "http://audit", 9, 0, "rabbitmq is down")
    both = problems.added([users, audit], tmp_path / "token")
    assert [one.problems for one in both] == [(WAITING,), tuple(AUDIT)]
    assert problems_of(both) == {
        WAITING: ["users-worker"],
        "rabbitmq is down": ["audit-worker"],
        AUDIT[0]: ["audit-worker"],
        AUDIT[1]: ["audit-worker"],
    }
    [alone] = problems.added([users], tmp_path / "token")
    assert alone.problems == (WAITING, *AUDIT)


def test_failures_of_logging_are_problems_of_their_service() -> None:
    body = b'{"status": "ready", "checked": [], "logging_failures": {"queue": "7 messages wait"}}'
    numbers = EventNumbers(failures=details_of(body, "logging_failures"))
    assert of_events({"audit": numbers}, {"audit"}) == {"audit": ["logging fails (queue): 7 messages wait"]}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"logging_failures": 1}'])
def test_a_health_answer_without_failures_of_logging_has_none(body: bytes) -> None:
    assert details_of(body, "logging_failures") == {}


def test_processes_with_the_same_problem_stand_together() -> None:
    processes = [ProcessStatus(f"{name}-api", "unhealthy", 7, "", 9, 0, "postgresql is read-only") for name in "ab"]
    assert problems_of(processes) == {"postgresql is read-only": ["a-api", "b-api"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status": "not ready", "down": ["postgresql"]}', "postgresql is down"),
        (
            b'{"status": "not ready", "down": ["a", "b"], "reasons": {"a": "is read-only", "b": "blocks publishing"}}',
            "a is read-only, b blocks publishing",
        ),
        (b'{"status": "not ready", "down": ["a", "b"], "reasons": {"b": "is full"}}', "a is down, b is full"),
        (b'{"status": "stopping", "down": []}', "stopping"),
        (b'{"status": "stopping", "down": ["a"]}', "stopping: a is down"),
        (b"<html>", ""),
        (b"[]", ""),
    ],
)
def test_a_health_answer_is_put_into_words(body: bytes, words: str) -> None:
    assert said(body) == words


def test_a_paused_consumer_is_a_problem_that_says_who_paused_it() -> None:
    body = b'{"status": "ready", "paused": {"quartet.audit": "paused by ops since 2026-01-31T09:00:00Z: a test"}}'
    numbers = EventNumbers(paused=details_of(body, "paused"))
    text = "consumer paused: quartet.audit, paused by ops since 2026-01-31T09:00:00Z: a test"
    assert of_events({"audit": numbers}, {"audit"}) == {"audit": [text]}
