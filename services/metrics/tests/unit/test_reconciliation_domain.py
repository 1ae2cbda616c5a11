"""The rules of comparisons: what is pending, which drift is steady, and when the night is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from quartet_common.messaging.envelope import Event
from quartet_metrics.reconciliation.reconciliation_domain import (
    COMPARED,
    GAUGES,
    NIGHT,
    Compared,
    Gauge,
    expected,
    night_at,
    steady,
)
from quartet_metrics.series.catalog_domain import METRICS

ACTIVE, SUSPENDED = Gauge("quartet_users", ("active",)), Gauge("quartet_users", ("suspended",))
ENTRIES = Gauge("quartet_audit_entries", ())
NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


def pending(make: Callable[..., Event], action: str, **data: object) -> Event:
    return msgspec.structs.replace(make("acme", NOW, action), data=data)


def test_every_compared_gauge_is_one_of_the_catalog_with_all_its_labels() -> None:
    assert set(COMPARED) == {"users", "groups", "audit"}
    for gauge in GAUGES:
        assert METRICS[gauge.metric].type == "gauge"
        assert len(gauge.labels) == len(METRICS[gauge.metric].labels)


def test_what_events_add_that_were_not_applied_is_taken_off_the_totals(event: Callable[..., Event]) -> None:
    events = [
        pending(event, "users.user.created", active=True),
        pending(event, "users.user.created", active=False),
        pending(event, "users.user.updated", active=False, changed=["active"]),
        pending(event, "users.schema.created"),
    ]
    totals = {ACTIVE: 10, SUSPENDED: 5}
    assert expected(totals, events, 0) == {ACTIVE: 10, SUSPENDED: 3}


def test_new_entries_and_removed_ones_are_taken_off_the_total_of_the_log(event: Callable[..., Event]) -> None:
    removal = pending(event, "audit.retention.applied", entries=4)
    assert expected({ENTRIES: 90}, [removal], 3) == {ENTRIES: 91}


def test_a_drift_is_steady_if_each_comparison_has_it() -> None:
    first = {ACTIVE: Compared(5, 4), SUSPENDED: Compared(2, 1), ENTRIES: Compared(7, 7)}
    second = {ACTIVE: Compared(9, 8), SUSPENDED: Compared(2, 2), ENTRIES: Compared(8, 8)}
    assert steady([first, second]) == {ACTIVE: Compared(9, 8), ENTRIES: Compared(8, 8)}
    assert steady([{ACTIVE: Compared(5, 4)}, second]) == {ACTIVE: Compared(9, 8)}
    assert steady([first]) == first


def test_the_night_begins_at_the_hour_and_has_an_end() -> None:
    assert night_at(NOW.replace(hour=3), 3) == NOW.replace(hour=3)
    assert night_at(NOW.replace(hour=8, minute=59), 3) == NOW.replace(hour=3)
    assert night_at(NOW.replace(hour=3) + NIGHT, 3) is None
    assert night_at(NOW.replace(hour=2, minute=59), 3) is None
    assert night_at(NOW.replace(hour=1), 23) == NOW.replace(hour=23) - timedelta(days=1)
