"""Problems and alerts: docs/operations.md says what each that `./quartet status` or a rule can name means."""

import re
from typing import Any

import pytest

from quartet_cli import problems
from quartet_cli.layout import CHECKOUT
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, Worker, api_readiness

ALERT = re.compile(r"^\s*- alert: *(\S+)", re.MULTILINE)
BUILT_IN = re.compile(r'"name": "(\w+)"')


async def test_each_problem_has_a_section(
    services: dict[str, Service[Any]],
    containers: dict[str, AppContainer[ServiceConfig]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AppContainer, "database", None)  # a worker that never runs needs none
    named = {problems.EVENTS_WAIT, problems.NO_CONSUMER, problems.DEAD_LETTERS, problems.PAUSED}
    for name, service in services.items():
        for readiness in (api_readiness(containers[name]), Worker(service, containers[name])._readiness):
            named.update(readiness._checks)
    text = (CHECKOUT / "docs/operations.md").read_text()
    section = text.partition("\n## Problems\n")[2].partition("\n## ")[0]
    sections = dict(re.findall(r"^### (.+)\n\n(.+)", section, re.MULTILINE))
    assert named - sections.keys() == set()


def test_each_alert_has_a_row_that_says_what_to_do() -> None:
    named = set(BUILT_IN.findall((CHECKOUT / "services/metrics/migrations/0007_alerts.sql").read_text()))
    assert "OutboxWaits" in named
    for path in (CHECKOUT / "deploy").rglob("*.y*ml"):
        named.update(ALERT.findall(path.read_text()))
    text = (CHECKOUT / "docs/operations.md").read_text()
    section = text.partition("\n## When an alert fires\n")[2].partition("\n## ")[0]
    assert named == set(re.findall(r"^\| `(\w+)` \| .+ \|$", section, re.MULTILINE))
