"""Loopback ports."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from quartet_cli import ports
from quartet_cli.errors import QuartetError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listening_server_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_a_port_is_free_again_when_its_server_has_gone() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
    assert ports.is_free(port)


def test_chosen_ports_are_free_different_and_not_the_ones_that_are_taken() -> None:
    avoided = set(range(ports.RANGE.start, ports.RANGE.stop - 50 * ports.BLOCK))
    chosen = ports.choose(20, avoided)
    assert len(set(chosen)) == 20
    assert not avoided & set(chosen)
    assert all(ports.is_free(port) for port in chosen)


def test_the_ports_of_a_stack_are_neighbours() -> None:
    chosen = ports.choose(18, set())
    assert max(chosen) - min(chosen) < ports.BLOCK


CHOOSE = "from quartet_cli import ports; print(*(ports.choose(18, set())[0] for _ in range(10)), flush=True); input()"


def test_processes_that_choose_at_the_same_time_get_different_ports() -> None:
    command = [sys.executable, "-c", CHOOSE]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        chosen = [port for process in processes if process.stdout for port in process.stdout.readline().split()]
    finally:
        for process in processes:
            process.communicate("\n", timeout=20)
    assert len(chosen) == 40
    assert len(set(chosen)) == 40


def test_choosing_more_ports_than_there_are_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(QuartetError, match="No 3 adjacent free ports"):
        ports.choose(3, set(ports.RANGE) - {ports.RANGE.start, ports.RANGE.start + 1})


def test_the_owner_of_a_port_is_named_by_process_and_command(taken: int) -> None:
    assert f"process {os.getpid()} (" in ports.owner(taken)


def test_every_taken_port_is_named_with_its_part(taken: int) -> None:
    with pytest.raises(QuartetError, match=rf"Port {taken} \(redis\) is in use by process {os.getpid()}") as caught:
        ports.require_free({"redis": taken})
    assert "QUARTET_PORT" not in str(caught.value)


def test_the_error_of_a_taken_proxy_port_names_the_setting(taken: int) -> None:
    with pytest.raises(QuartetError, match="QUARTET_PORT"):
        ports.require_free({"proxy": taken})


def test_free_ports_are_no_complaint() -> None:
    ports.require_free({"redis": ports.choose(1, set())[0]})
