"""Several processes of a service: their number, names and ports, and whom they call."""

import os
from pathlib import Path

import pytest

from quartet_cli import environment, instances
from quartet_cli.catalogue import programs, spares, stop_order
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES, Home
from quartet_cli.servers import nginx
from quartet_cli.state import State, port_names

THREE = {"QUARTET_PROCESSES_USERS": "3", "QUARTET_PROCESSES_GROUPS": "2"}


def state(given: dict[str, str]) -> State:
    made = State(postgres_data="/somewhere")
    made.complete((*port_names(SERVICES, given), "proxy"))
    return made


@pytest.mark.parametrize(("value", "expected"), [(None, 1), ("", 1), ("1", 1), ("32", 32)])
def test_a_number_of_processes_is_read(value: str | None, expected: int) -> None:
    assert instances.count({} if value is None else {"QUARTET_PROCESSES_AUDIT": value}, "audit") == expected


def test_auto_is_one_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert instances.count({"QUARTET_PROCESSES_AUDIT": "auto"}, "audit") == 3


@pytest.mark.parametrize("value", ["0", "-1", "33", "1.5", "many", "\u0663"])
def test_a_number_of_processes_that_cannot_be_is_named(value: str) -> None:
    with pytest.raises(QuartetError, match=f"QUARTET_PROCESSES_AUDIT must be 1-32, or auto .* got '{value}'"):
        port_names(SERVICES, {"QUARTET_PROCESSES_AUDIT": value})


def test_several_have_numbers_and_one_has_none() -> None:
    found = state(THREE).ports
    assert instances.of(found, "users", "api") == ["users-api-1", "users-api-2", "users-api-3"]
    assert instances.of(found, "users", "worker") == ["users-worker-1", "users-worker-2", "users-worker-3"]
    assert instances.of(found, "audit", "api") == ["audit-api"]
    assert len(set(found.values())) == len(found)


def test_ten_are_in_the_order_of_their_numbers() -> None:
    names = instances.of(state({"QUARTET_PROCESSES_USERS": "12"}).ports, "users", "worker")
    assert names == [f"users-worker-{number}" for number in range(1, 13)]


def test_ports_of_processes_that_are_no_longer_wanted_are_given_up_and_others_stay() -> None:
    kept = state(THREE)
    before = dict(kept.ports)
    kept.complete((*port_names(SERVICES), "proxy"))
    assert instances.of(kept.ports, "users", "api") == ["users-api"]
    assert kept.ports.keys() == {*port_names(SERVICES), "proxy"}
    assert kept.ports["postgres"] == before["postgres"]
    assert kept.ports["audit-api"] == before["audit-api"]


def test_each_process_listens_at_ports_of_its_own_and_they_call_different_apis() -> None:
    ports = state(THREE).ports
    settings = [environment.service(Home(Path("/x")), ports, "groups", "worker", number) for number in (1, 2)]
    assert [one["QUARTET_PRIVATE_PORT"] for one in settings] == [
        str(ports[f"groups-worker-{number}-private"]) for number in (1, 2)
    ]
    assert [one["QUARTET_USERS_URL"] for one in settings] == [
        f"http://127.0.0.1:{ports[f'users-api-{number}']}" for number in (1, 2)
    ]
    assert [one["QUARTET_AUDIT_URL"] for one in settings] == [f"http://127.0.0.1:{ports['audit-api']}"] * 2


def test_the_proxy_has_every_api_as_a_server() -> None:
    ports = state(THREE).ports
    found = nginx.values(ports, {})
    assert found["QUARTET_GROUPS_SERVERS"] == " ".join(
        f"server 127.0.0.1:{ports[f'groups-api-{number}']} max_fails=1 fail_timeout=1s;" for number in (1, 2)
    )


def test_a_spare_process_has_the_port_of_its_api_and_another_private_one(tmp_path: Path) -> None:
    made = state(THREE)
    processes = {one.name: one for one in programs(Home(tmp_path), made, SERVICES, {})}
    found = {one.name: one for one in spares(made.ports, list(processes.values()))}
    assert found.keys() == {f"{name}-spare" for name in processes if instances.kind_of(name) == "api"}
    api, spare = processes["users-api-2"].environment, found["users-api-2-spare"].environment
    assert (api["QUARTET_PORT"], api["QUARTET_SHARE_PORT"]) == (spare["QUARTET_PORT"], spare["QUARTET_SHARE_PORT"])
    assert spare["QUARTET_PRIVATE_PORT"] == str(made.ports["users-spare-private"]) != api["QUARTET_PRIVATE_PORT"]


def test_a_stack_that_an_older_release_has_started_has_no_spare_processes(tmp_path: Path) -> None:
    made = state({})
    made.ports = {name: port for name, port in made.ports.items() if "spare" not in name}
    assert spares(made.ports, programs(Home(tmp_path), made, SERVICES, {})) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("users-api-1", ["users-api-1"]),
        ("users-api", ["users-api-1", "users-api-2"]),
        ("users", ["users-api-1", "users-api-2", "users-worker"]),
        ("redis", ["redis"]),
        ("user", []),
    ],
)
def test_a_name_means_a_process_a_kind_or_a_service(wanted: str, found: list[str]) -> None:
    assert instances.meant(wanted, ["redis", "users-api-1", "users-api-2", "users-worker", "groups-api"]) == found


def test_several_processes_stop_in_the_order_of_their_kinds() -> None:
    names = ["users-worker-2", "users-api-1-spare", "postgres", "users-api-1", "proxy", "users-worker-1"]
    assert stop_order(names) == [
        ["proxy"],
        ["users-api-1-spare", "users-api-1"],
        ["users-worker-2", "users-worker-1"],
        ["postgres"],
    ]
