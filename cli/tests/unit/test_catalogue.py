"""Which processes there are, and the order in which they stop."""

from pathlib import Path

from quartet_cli.catalogue import programs, stop_order
from quartet_cli.layout import SERVICES, Home
from quartet_cli.state import State, port_names

NAMES = [
    "postgres",
    "redis",
    "epmd",
    "rabbitmq",
    "victoria-metrics",
    "redis-exporter",
    "users-api",
    "users-worker",
    "groups-api",
    "proxy",
]


def test_what_takes_requests_stops_first_and_what_they_need_last() -> None:
    assert stop_order(NAMES) == [
        ["proxy"],
        ["users-api", "groups-api"],
        ["users-worker"],
        ["redis-exporter"],
        ["postgres", "redis", "rabbitmq", "victoria-metrics"],
        ["epmd"],
    ]


def test_nothing_is_left_out_of_the_stop() -> None:
    names = [*NAMES, "something-else"]
    assert sorted(name for stage in stop_order(names) for name in stage) == sorted(names)


def test_a_stack_of_servers_only_has_no_empty_stages() -> None:
    assert stop_order(["redis", "epmd"]) == [["redis"], ["epmd"]]


def test_a_stack_that_an_earlier_release_has_started_has_no_exporters(tmp_path: Path) -> None:
    newer = {"rabbitmq-metrics", "proxy-metrics", "postgres-exporter", "redis-exporter"}
    ports = {name: 20000 + index for index, name in enumerate(("proxy", *port_names(SERVICES))) if name not in newer}
    found = {one.name for one in programs(Home(tmp_path), State(ports, str(tmp_path)), SERVICES, {})}
    assert {"postgres", "proxy", "users-api"} <= found
    assert not found & newer
