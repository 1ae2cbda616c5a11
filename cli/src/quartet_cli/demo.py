"""The demo: sends payloads through the proxy, and shows their effects in the audit log, the metrics and the trace."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from quartet_cli import payloads
from quartet_cli.errors import QuartetError
from quartet_cli.payloads import Payload

DEADLINE: Final = 15.0  # seconds that each effect has to appear
PAUSE: Final = 0.02
Seen = tuple[Any, float | None]  # an effect, and the milliseconds until it appeared


@dataclass
class Journey:
    """The effects of one payload; `rows` are (effect, text, milliseconds since the request), None: not seen."""

    payload: Payload
    rows: list[tuple[str, str, float | None]] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """The effects that did not appear."""
        return [what for what, _, milliseconds in self.rows if milliseconds is None]


class Demo:
    """One run against one tenant of one stack."""

    def __init__(self, client: httpx.Client, deadline: float = DEADLINE) -> None:
        self.client = client
        self.deadline = deadline
        self.ids: dict[str, str] = {}

    def follow(self, payload: Payload) -> Journey:
        """Send a payload and wait for its effects."""
        journey, trace = Journey(payload), secrets.token_hex(16)
        action = f"{payload.kind.lower()}s.{payload.kind.lower()}.created"
        before = self._counted(action)
        begun = time.monotonic()
        resource = self._create(payload, trace)
        journey.rows.append(_resource_row(payload, resource, _milliseconds(begun)))
        looks = {
            "audit": lambda: self._audited(resource["id"], action),
            "counter": lambda: self._grown(action, before),
        }
        found = self._wait(begun, looks)
        journey.rows += _audit_rows(*found["audit"], action, trace)
        after, seen = found["counter"]
        journey.rows.append(("counter", f"{action}: {before} -> {before if after is None else after}", seen))
        return journey

    def _create(self, payload: Payload, trace: str) -> dict[str, Any]:
        body = payloads.filled(payload.body, self._id_of)
        headers = {"Content-Type": "application/scim+json", "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        answer = self._request("POST", payload.path, json=body, headers=headers)
        if answer.status_code != 201:
            raise QuartetError(f"The server refused {payload.file.name}: {answer.status_code} {answer.text[:500]}")
        resource: dict[str, Any] = answer.json()
        if payload.kind == "User":
            self.ids[resource["userName"].lower()] = resource["id"]
        return resource

    def _id_of(self, user_name: str) -> str:
        """The id of a user of this run, or of one that the tenant has already."""
        if user_name.lower() not in self.ids:
            answer = self._request("GET", "/scim/v2/Users", params={"filter": f'userName eq "{user_name}"'})
            found = answer.json().get("Resources", []) if answer.status_code == 200 else []
            if not found:
                raise QuartetError(f"A payload refers to the user {user_name}, who does not exist. Send that user too.")
            self.ids[user_name.lower()] = found[0]["id"]
        return self.ids[user_name.lower()]

    def _audited(self, resource_id: str, action: str) -> dict[str, Any] | None:
        answer = self._request("GET", "/audit/events", params={"resource": resource_id, "action": action})
        events: list[dict[str, Any]] = _checked(answer)["events"]
        return events[0] if events else None

    def _grown(self, action: str, before: int) -> int | None:
        now = self._counted(action)
        return now if now > before else None

    def _counted(self, action: str) -> int:
        """The number of events of an action that metrics has counted in the tenant in the last hours."""
        now = datetime.now(UTC)
        period = {"from": now - timedelta(hours=2), "to": now + timedelta(hours=2)}
        params = {name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in period.items()}
        answer = self._request(
            "GET", "/metrics/query", params=params | {"metric": "events", "step": "hour", "by": "type"}
        )
        series = [each for each in _checked(answer)["series"] if each["key"] == action]
        return sum(int(point["value"]) for each in series for point in each["points"])

    def _wait(self, begun: float, looks: dict[str, Callable[[], Any]]) -> dict[str, Seen]:
        """The result of each look within the deadline, and the milliseconds since `begun`."""
        found: dict[str, Seen] = dict.fromkeys(looks, (None, None))
        deadline = time.monotonic() + self.deadline
        while time.monotonic() < deadline:
            for name in [name for name, (_, seen) in found.items() if seen is None]:
                if (thing := looks[name]()) is not None:
                    found[name] = thing, _milliseconds(begun)
            if all(seen is not None for _, seen in found.values()):
                break
            time.sleep(PAUSE)
        return found

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self.client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise QuartetError(f"No answer from {self.client.base_url}: {error}") from error


def run(console: Console, url: str, bearer: str, tenant: str, files: Sequence[Path]) -> bool:
    """Run the demo and print it; False if an effect did not appear."""
    missing: list[str] = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {bearer}"}, timeout=10) as client:
        demo = Demo(client)
        console.print(f"tenant {tenant} at {url}", highlight=False)
        for payload in payloads.load(files):
            journey = demo.follow(payload)
            console.print(table_of(journey))
            missing += [f"{payload.file.name}: {what}" for what in journey.missing]
    for each in missing:
        console.print(f"not seen within {DEADLINE:.0f} s: {each}", style="red", highlight=False)
    return not missing


def fresh_tenant() -> str:
    """The id of a new tenant."""
    return f"demo-{secrets.token_hex(4)}"


def table_of(journey: Journey) -> Table:
    """The effects of one payload as a table."""
    table = Table("", journey.payload.file.name, "after", box=None, pad_edge=False, title_justify="left")
    table.columns[2].justify = "right"
    for what, text, milliseconds in journey.rows:
        took = "[red]missing[/]" if milliseconds is None else f"{milliseconds:.0f} ms"
        table.add_row(f"[dim]{what}[/]", text, took)
    table.add_row()
    return table


def _audit_rows(
    entry: dict[str, Any] | None, seen: float | None, action: str, trace: str
) -> list[tuple[str, str, float | None]]:
    """The rows for the event, its audit entry, and the trace in the entry."""
    if entry is None:
        return [(what, f"{action}: not seen", None) for what in ("event", "audit entry", "trace")]
    traced = entry.get("trace_id") == trace
    return [
        ("event", str(entry["action"]), seen),
        ("audit entry", str(entry["id"]), seen),
        ("trace", trace if traced else f"{trace} is not in the entry", seen if traced else None),
    ]


def _resource_row(payload: Payload, resource: dict[str, Any], took: float) -> tuple[str, str, float]:
    location = resource.get("meta", {}).get("location", "")
    return "resource", f"{payload.kind} {resource['id']}\n{location}", took


def _milliseconds(begun: float) -> float:
    return (time.monotonic() - begun) * 1000


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise QuartetError(f"{answer.request.url.path} answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found
