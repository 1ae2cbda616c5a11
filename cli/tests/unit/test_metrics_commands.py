"""The progress of a rebuild, and the table of a comparison."""

from quartet_cli.api_client import Document
from quartet_cli.metrics_commands import follow, is_wrong, rows_of


def test_a_rebuild_shows_each_step_until_nothing_waits() -> None:
    asked: list[str] = []
    waiting = iter([40, 40, 20, 0])

    def ask(method: str, path: str) -> Document:
        asked.append(f"{method} {path}")
        return {"configured": True, "series": 40, "waiting": next(waiting)}

    shown: list[str] = []
    follow(ask, shown.append, pause=0)
    assert asked == ["POST /metrics/engine/rebuild", *["GET /metrics/engine"] * 3]
    assert shown == ["0 of 40 series", "20 of 40 series", "40 series are written"]


def test_a_comparison_is_a_row_for_each_gauge_and_wrong_until_it_is_corrected() -> None:
    gauge = {"metric": "quartet_users", "labels": {"state": "active"}, "counted": 5, "exists": 4, "drift": 1}
    found = {"tenant": "acme", "repaired": False, "gauges": [gauge], "problems": []}
    [row] = rows_of([found])
    assert row == {**gauge, "tenant": "acme", "labels": "active"}
    assert is_wrong(found)
    assert not is_wrong({**found, "repaired": True})
    assert not is_wrong({**found, "gauges": [{**gauge, "drift": 0}]})
    assert is_wrong({**found, "repaired": True, "problems": ["audit is unavailable"]})
