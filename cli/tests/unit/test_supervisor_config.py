"""The supervisor's configuration, read back with the supervisor's own parser."""

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions, UnhosedConfigParser

from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.programs import Program
from quartet_cli.supervisor_config import render


def read(folder: Path, **settings: Any) -> tuple[list[str], dict[str, str]]:
    """The words of the command and the environment, as supervisord understands the rendered file."""
    home = Home(folder)
    home.logs.mkdir(parents=True)
    parser = UnhosedConfigParser()
    parser.read_string(render(home, [program(folder, **settings)]))
    options = ServerOptions()
    options.here = str(folder)
    (config,) = options.processes_from_section(parser, "program:one", "one")
    return shlex.split(config.command), config.environment


def program(folder: Path, **settings: Any) -> Program:
    return Program(**{"name": "one", "command": ("/bin/true",), "directory": folder, **settings})


def test_a_command_with_a_per_cent_sign_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    command, _ = read(tmp_path, command=("/srv/100%/python", "-m", "x"))
    assert command == ["/srv/100%/python", "-m", "x"]


@pytest.mark.parametrize("name", ["plain", "with space", "it;s#so"])
def test_paths_reach_the_program_as_they_are(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    command, _ = read(folder, command=("/bin/echo", f"{folder}/file", 'a "b"'))
    assert command == ["/bin/echo", f"{folder}/file", 'a "b"']


@pytest.mark.parametrize("value", ["plain", "a b", '["http://a.example.com", "x"]', "50%", "it's", "{127,0,0,1}", ""])
def test_values_reach_the_environment_as_they_are(tmp_path: Path, value: str) -> None:
    _, environment = read(tmp_path, environment={"NAME": value, "OTHER": "x"})
    assert environment == {"NAME": value, "OTHER": "x"}


@pytest.mark.parametrize("value", ["both \" and '", '"quoted"', "a # comment", "two\nlines"])
def test_a_value_that_would_arrive_changed_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(QuartetError):
        render(Home(tmp_path), [program(tmp_path, environment={"NAME": value})])


def test_whatever_ends_comes_back_but_a_crash_loop_does_not_spin(tmp_path: Path) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(render(Home(tmp_path), [program(tmp_path)]))
    section = parser["program:one"]
    assert section["autorestart"] == "true"
    assert int(section["startsecs"]) > 0  # an end within this time is followed by growing pauses
    assert int(section["startretries"]) >= 100
