"""The consumers of events: what relays declare by default is what the services subscribe to."""

from typing import Any

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
        found[topology.revocation_queue(name)] = {event_types.REVOKED}
    assert {name: set(patterns) for name, patterns in CONSUMERS.items()} == found
