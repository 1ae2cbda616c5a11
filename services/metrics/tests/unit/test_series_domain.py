"""What events add to which series."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import msgspec
import pytest

from quartet_common.messaging.envelope import DENIED, Event
from quartet_metrics.series.catalog_domain import METRICS, Kind, Metric
from quartet_metrics.series.series_domain import Place, SeriesKey, changes_of, series_id, tally

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
MakeEvent = Callable[..., Event]


def with_data(event: Event, data: dict[str, Any], **more: Any) -> Event:
    return msgspec.structs.replace(event, data=data, **more)


def added(event: Event) -> dict[tuple[str, ...], int]:
    """What an event adds besides its own number and its entry."""
    found = {(metric.name.removeprefix("quartet_"), *labels): amount for metric, labels, amount in changes_of(event)}
    assert found.pop(("events_total", event.action, event.outcome)) == 1
    assert isinstance(found.pop(("audit_entries",), None), int)
    return found


@pytest.mark.parametrize(
    ("action", "data", "expected"),
    [
        ("users.user.created", {"active": True}, {("users", "active"): 1}),
        ("users.user.created", {"active": False}, {("users", "suspended"): 1}),
        ("users.user.deleted", {"active": False}, {("users", "suspended"): -1}),
        (
            "users.user.updated",
            {"active": False, "changed": ["active", "title"]},
            {("users", "suspended"): 1, ("users", "active"): -1},
        ),
        ("users.user.updated", {"active": False, "changed": ["title"]}, {}),
        ("groups.group.created", {}, {("groups",): 1}),
        ("groups.group.deleted", {}, {("groups",): -1}),
        ("groups.membership.added", {"members": [1, 2, 3]}, {("memberships", "user"): 3}),
        ("groups.nesting.removed", {"groups": [1, 2]}, {("memberships", "group"): -2}),
        (
            "users.login.succeeded",
            {},
            {("logins_total", "success"): 1, ("tokens_issued_total", "password"): 1, ("sessions",): 1},
        ),
        ("users.login.failed", {"count": 7}, {("logins_total", "failure"): 7}),
        ("users.session.ended", {}, {("sessions",): -1}),
        ("users.token.issued", {}, {("tokens_issued_total", "client_credentials"): 1}),
        ("users.client.created", {}, {("api_clients",): 1}),
        ("audit.request.refused", {"status": 403}, {("denied_requests_total", "audit", "403"): 1}),
        (
            "users.request.limited",
            {"status": 429, "limit": "login", "count": 5},
            {("denied_requests_total", "users", "429"): 5, ("logins_total", "locked_out"): 5},
        ),
        ("metrics.request.limited", {"status": 429, "count": 5}, {("denied_requests_total", "metrics", "429"): 5}),
        ("users.key.rotated", {}, {}),
    ],
)  # fmt: skip
def test_an_event_adds_what_it_says(
    event: MakeEvent, action: str, data: dict[str, Any], expected: dict[tuple[str, ...], int]
) -> None:
    found = added(with_data(event("default", NINE, action), data))
    assert {key: amount for key, amount in found.items() if key[0] != "scim_changes_total"} == expected


def test_retention_takes_its_entries_from_the_entries_of_the_log(event: MakeEvent) -> None:
    one = with_data(event("default", NINE, "audit.retention.applied"), {"entries": 12, "before": 40})
    assert tally([one])[Place(SeriesKey("default", "quartet_audit_entries", ()), NINE)] == -11


def test_changes_over_scim_are_counted_by_client_and_those_of_persons_together(event: MakeEvent) -> None:
    client = {"actorid": "acme.okta", "actortype": "client"}
    person = {"actorid": "01a22c26-0000-7000-8000-000000000000", "actortype": "user"}
    sent = [
        with_data(event("default", NINE, "users.user.updated"), {}, **client),
        with_data(event("default", NINE, "groups.group.created"), {}, **client),
        with_data(event("default", NINE, "groups.membership.added"), {"members": [1, 2]}, **client),
        with_data(event("default", NINE, "users.user.deleted"), {}, **person),
        with_data(event("default", NINE, "users.role.created"), {}, **client),
    ]
    found = Counter[tuple[str, ...]]()
    for one in sent:
        found += Counter({key[1:]: n for key, n in added(one).items() if key[0] == "scim_changes_total"})
    assert found == {
        ("acme.okta", "User", "update"): 1,
        ("acme.okta", "Group", "create"): 1,
        ("acme.okta", "member", "add"): 2,
        ("user", "User", "delete"): 1,
    }


def test_events_of_applications_are_counted_together_whatever_their_types(event: MakeEvent) -> None:
    sent = [event("default", NINE, f"app.com.example.order{number}") for number in range(100)]
    others = [event("default", NINE, "app.x", outcome=DENIED), event("default", NINE, "application.x")]
    found = tally([*sent, *others])
    assert {place.key.labels: n for place, n in found.items() if place.key.metric == "quartet_events_total"} == {
        ("app", "success"): 100,
        ("app", "denied"): 1,
        ("application.x", "success"): 1,
    }


def test_an_event_counts_in_the_minute_of_its_own_time_in_utc(event: MakeEvent) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    times = [NINE, NINE + timedelta(seconds=59), NINE + timedelta(minutes=1), NINE.astimezone(zone)]
    key = SeriesKey("default", "quartet_events_total", ("users.user.created", "success"))
    found = tally([event("default", time) for time in times])
    assert {place.start: n for place, n in found.items() if place.key == key} == {
        NINE: 3,
        NINE + timedelta(minutes=1): 1,
    }


def test_the_order_of_events_does_not_matter(event: MakeEvent) -> None:
    user = [
        with_data(event("default", NINE, "users.user.created"), {"active": True}),
        with_data(event("default", NINE, "users.user.updated"), {"active": False, "changed": ["active"]}),
        with_data(event("default", NINE, "users.user.deleted"), {"active": False}),
    ]
    expected = tally(user)
    assert sum(amount for place, amount in expected.items() if place.key.metric == "quartet_users") == 0
    for seed in range(5):
        Random(seed).shuffle(user)  # noqa: S311  # no secret
        assert tally(user) == expected


def test_a_rule_uses_the_labels_that_the_catalogue_names(event: MakeEvent) -> None:
    seen: dict[str, Metric] = {}
    for action in ("users.login.succeeded", "users.user.created", "groups.nesting.added", "users.request.limited"):
        for metric, labels, _ in changes_of(event("default", NINE, action)):
            assert len(labels) == len(metric.labels), metric.name
            seen[metric.name] = metric
    assert seen.items() <= METRICS.items()
    assert all((one.kind is Kind.COUNTER) == one.name.endswith("_total") for one in METRICS.values())


def test_series_have_ids_that_never_change() -> None:
    assert series_id("quartet_groups", ()) == 1634337665160537444
