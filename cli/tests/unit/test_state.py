"""What a stack remembers."""

from pathlib import Path

import pytest

from quartet_cli.errors import QuartetError
from quartet_cli.state import VERSION, State, port_names


def test_a_home_without_a_state_has_an_empty_one(tmp_path: Path) -> None:
    assert State.load(tmp_path / "state.json") == State()


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = State(ports={"redis": 20001}, postgres_data="/somewhere")
    state.save(tmp_path / "state.json")
    assert State.load(tmp_path / "state.json") == state


def test_ports_that_are_known_stay_and_the_others_are_chosen() -> None:
    state = State(ports={"redis": 20001})
    state.complete(("redis", "postgres"))
    assert state.ports["redis"] == 20001
    assert state.ports["postgres"] != 20001


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": 1}'])
def test_the_error_of_a_damaged_state_has_the_command_to_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(QuartetError, match=r"\./quartet reset"):
        State.load(tmp_path / "state.json")


def test_the_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    State(version=VERSION + 1).save(tmp_path / "state.json")
    with pytest.raises(QuartetError, match="newer version of Quartet"):
        State.load(tmp_path / "state.json")


def test_each_service_has_an_api_port_and_a_private_port_per_process() -> None:
    names = port_names(("users",))
    assert {"users-api", "users-api-private", "users-worker-private"} < set(names)
