"""Events of applications through the whole stack: sent to audit, published, recorded and counted."""

import hashlib
import re
from typing import Any

import pytest

from quartet_testing.client import Api, unique
from quartet_testing.conditions import eventually

ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"


def event(**changes: Any) -> dict[str, Any]:
    """An event of an application, with an id of its own."""
    return {"specversion": "1.0", "id": unique("id"), "source": "/shop", "type": "com.example.order.paid", **changes}


async def entry_of(api: Api, event_id: str) -> dict[str, Any]:
    """The entry with an id, once there is one."""

    async def found() -> dict[str, Any] | None:
        answer = await api.get(f"/audit/events/{event_id}")
        return answer.json() if answer.status_code == 200 else None

    return await eventually(found, "the entry")


async def test_an_event_of_an_application_is_recorded_and_counted_once(api: Api) -> None:
    given = event(subject="orders/7", time="2026-01-31T09:00:00Z", data={"by": "bj"})
    answers = [await api.post("/audit/events", json=given, headers={"Content-Type": ONE}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json()["events"][0] for answer in answers)
    assert (first["status"], second["status"], first["event"]) == ("accepted", "duplicate", second["event"])
    assert answers[0].headers["Quartet-Event"] == first["event"]
    assert "Quartet-Event" not in answers[1].headers
    entry = await entry_of(api, first["event"])
    assert (entry["action"], entry["time"]) == ("app.com.example.order.paid", "2026-01-31T09:00:00Z")
    assert entry["resource"]["type"] == "orders"
    assert re.fullmatch(r"[0-9a-f]{64}", entry["resource"]["id"])
    assert entry["resource"]["id"] != hashlib.sha256(b"7").hexdigest(), "a digest without a key can be guessed"
    found = (await api.get("/audit/events", params={"resource": "7"})).json()["events"]
    assert [one["id"] for one in found] == [first["event"]]
    assert entry["data"] == given


async def test_a_large_batch_passes_the_proxy_and_is_counted_under_one_name(api: Api) -> None:
    batch = [event(type=f"com.example.t{number}", data="x" * 6000) for number in range(1000)]
    answer = await api.post("/audit/events", json=batch, headers={"Content-Type": MANY})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1000)
    assert len(answer.headers["Quartet-Event"].split(", ")) == 20
    await api.counted("app", 1000)

    async def recorded() -> bool:
        return len(await api.entries(action="app.com.example.*")) == 1000

    await eventually(recorded, "all entries")


@pytest.mark.parametrize("content_type", [ONE, MANY])
async def test_what_is_too_large_is_refused(api: Api, content_type: str) -> None:
    answer = await api.post(
        "/audit/events", content=b" " * (9 * 1024 * 1024 + 1), headers={"Content-Type": content_type}
    )
    assert answer.status_code == 413
