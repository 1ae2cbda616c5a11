"""Alerts through the whole stack: what fires is an entry of the tenant's audit log, once."""

import re

import httpx
import pytest

from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.stack import Stack
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

RULES = "/metrics/alerts/rules"
OF_THE_ENGINE = {"quartet_logins_total", "quartet_certificate_expiry_timestamp_seconds"}
"""Metrics of the platform's rules that workers do not export: counted from events, and of processes with TLS only."""
MIGRATION = CHECKOUT / "services/metrics/migrations/0007_alerts.sql"


async def test_an_alert_is_in_the_audit_log_once_when_it_fires_and_once_when_it_is_resolved(
    stack: Stack, token_for: TokenFor
) -> None:
    if "victoria-metrics" not in stack.programs:
        pytest.skip("victoria-metrics is not installed")
    async with Api(stack.url, await token_for(new_tenant())) as api:
        user = await api.create_user()
        rule = {"name": "Users", "expr": "sum(quartet_users) > 0", "annotations": {"summary": "{{ $value }} users"}}
        made = await api.post(RULES, json=rule)
        assert made.status_code == 201, made.text
        fired = await eventually(lambda: api.entries(action="metrics.alert.fired"), "the alert in the log", 60)
        assert [one["data"]["annotations"] for one in fired] == [{"summary": "1 users"}]
        assert fired[0]["data"]["rule"] == made.json()["id"]
        [alert] = (await api.get("/metrics/alerts")).json()["alerts"]
        assert (alert["state"], fired[0]["resource"]) == ("firing", {"type": "alerts", "id": alert["id"]})
        assert (await api.delete(f"/scim/v2/Users/{user['id']}")).status_code == 204
        resolved = await eventually(lambda: api.entries(action="metrics.alert.resolved"), "its end in the log", 120)
        assert [one["data"]["reason"] for one in resolved] == ["condition"]
        assert len(await api.entries(action="metrics.alert.fired")) == 1
        assert (await api.get("/metrics/alerts")).json() == {"alerts": []}


async def test_workers_export_the_metrics_that_rules_of_the_platform_ask_for(stack: Stack) -> None:
    rules = MIGRATION.read_text().partition("INSERT INTO alert_rules")[2]
    named = set(re.findall(r"\bquartet_[a-z_]+\b", rules)) - OF_THE_ENGINE
    assert len(named) == 3
    token = (stack.home.secrets / "prometheus/token").read_text()
    ports = {service: stack.state.ports[f"{service}-worker-private"] for service in SERVICES}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        for name, port in ports.items():
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            exported = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
            assert named <= exported, name
