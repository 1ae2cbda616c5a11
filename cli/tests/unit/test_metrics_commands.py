"""The progress of a rebuild."""

from quartet_cli.api_client import Document
from quartet_cli.metrics_commands import follow


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
