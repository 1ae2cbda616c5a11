"""The consumers of events: relays declare what the services subscribe to, and the operations page has the delays."""

from typing import Any

from quartet_cli.layout import CHECKOUT
from quartet_common.config.settings import CONSUMERS, ServiceConfig
from quartet_common.messaging import event_types, topology
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service


def test_relays_declare_the_queue_of_every_consumer_with_its_patterns(
    services: dict[str, Service[Any]], containers: dict[str, AppContainer[ServiceConfig]]
) -> None:
    found: dict[str, set[str]] = {}
    for name, service in services.items():
        found[name] = {one.pattern for one in service.subscriptions(containers[name])}
        found[topology.revocation_queue(name)] = {event_types.REVOKED, event_types.ORIGINS}
    assert {name: set(patterns) for name, patterns in CONSUMERS.items()} == found


def test_the_operations_page_has_the_retry_delays() -> None:
    *first, last = (f"{delay} s" if delay < 60 else f"{delay // 60} min" for delay in topology.RETRY_DELAYS)
    minutes = round(sum(topology.RETRY_DELAYS) / 60)
    page = (CHECKOUT / "docs/operations.md").read_text()
    assert f"retried after {', '.join(first)} and {last}" in page
    assert page.count(f"{minutes} minutes") == 2
