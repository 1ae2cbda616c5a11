"""The demo, against a stack that exists in memory only."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from quartet_cli.demo import Demo, Journey
from quartet_cli.errors import QuartetError
from quartet_cli.payloads import Payload

USER = Payload(Path("user.json"), "User", {"userName": "Ann@example.com"})
GROUP = Payload(Path("group.json"), "Group", {"members": [{"value": "{userName:ann@example.com}"}]})


class FakeStack:
    """Answers as the four services do; what is in `broken` never appears, and all else after `delay` looks."""

    def __init__(self, *broken: str, delay: int = 2) -> None:
        self.broken = broken
        self.delay = delay
        self.created: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self.create(request)
        if request.url.path == "/audit/events":
            return self.audit(request)
        if request.url.path == "/metrics/query":
            return self.metrics()
        return httpx.Response(200, json={"Resources": []})

    def create(self, request: httpx.Request) -> httpx.Response:
        self.looks = 0
        body = json.loads(request.content)
        kind = request.url.path.rpartition("/")[2].lower()
        resource = body | {"id": f"id-{len(self.created)}", "meta": {"location": "http://test/x"}}
        self.created.append(resource)
        trace = "other" if "trace" in self.broken else request.headers["traceparent"].split("-")[1]
        action = f"{kind}.{kind[:-1]}.created"
        entry = {"id": f"entry-{len(self.entries)}", "action": action, "trace_id": trace}
        self.entries.append(entry | {"resource": {"id": resource["id"]}})
        return httpx.Response(201, json=resource)

    def audit(self, request: httpx.Request) -> httpx.Response:
        self.looks += 1
        hidden = "audit" in self.broken or self.looks <= self.delay
        wanted = request.url.params["resource"]
        found = [] if hidden else [entry for entry in self.entries if entry["resource"]["id"] == wanted]
        return httpx.Response(200, json={"events": found, "next": None})

    def metrics(self) -> httpx.Response:
        counts: dict[str, int] = {}
        for entry in [] if "metrics" in self.broken else self.entries:
            counts[entry["action"]] = counts.get(entry["action"], 0) + 1
        series = [{"key": key, "points": [{"time": "t", "value": value}]} for key, value in counts.items()]
        return httpx.Response(200, json={"series": series})


def follow(stack: FakeStack, *payloads: Payload) -> list[Journey]:
    client = httpx.Client(base_url="http://test", transport=httpx.MockTransport(stack))
    demo = Demo(client, deadline=0.1 if stack.broken else 5)
    return [demo.follow(payload) for payload in payloads]


def test_a_payload_is_followed_into_audit_metrics_and_trace() -> None:
    (journey,) = follow(FakeStack(), USER)
    texts = {what: text for what, text, _ in journey.rows}
    assert journey.missing == []
    assert texts["event"] == "users.user.created"
    assert texts["audit entry"] == "entry-0"
    assert texts["counter"] == "users.user.created: 0 -> 1"
    assert len(texts["trace"]) == 32


def test_what_took_longer_to_appear_is_shown_with_more_milliseconds() -> None:
    (journey,) = follow(FakeStack(delay=3), USER)
    took = {what: milliseconds or 0.0 for what, _, milliseconds in journey.rows}
    assert took["resource"] <= took["counter"] < took["audit entry"]


def test_a_member_is_sent_by_the_id_that_its_user_got_whatever_the_case_of_its_name() -> None:
    stack = FakeStack()
    follow(stack, USER, GROUP)
    assert stack.created[1]["members"] == [{"value": "id-0"}]


def test_a_member_that_does_not_exist_is_named() -> None:
    with pytest.raises(QuartetError, match=r"the user ann@example\.com, who does not exist"):
        follow(FakeStack(), GROUP)


@pytest.mark.parametrize(
    ("broken", "missing"),
    [("audit", ["event", "audit entry", "trace"]), ("metrics", ["counter"]), ("trace", ["trace"])],
)
def test_what_does_not_appear_is_named_and_the_rest_is_shown(broken: str, missing: list[str]) -> None:
    (journey,) = follow(FakeStack(broken), USER)
    assert journey.missing == missing
