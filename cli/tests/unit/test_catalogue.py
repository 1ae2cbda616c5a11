"""Which processes there are, and the order in which they stop."""

from quartet_cli.catalogue import stop_order

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
