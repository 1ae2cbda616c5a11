"""The runbook with a broken stack: each command in the documents for operators works as it is written."""

import asyncio
import os
import shlex
import subprocess
import sys

import pytest

from quartet_cli import binaries, ports
from quartet_cli.layout import CHECKOUT
from quartet_cli.stack import Stack
from quartet_testing.command_line import quartet
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import pid, stopped
from quartet_testing.runbook import ELSEWHERE, Command, commands
from quartet_testing.services import new_tenant

pytestmark = [pytest.mark.local_stack, pytest.mark.slow, pytest.mark.usefixtures("whole_stack")]

BROKEN = "audit-worker"
PROBLEM = "queue without consumer: quartet.audit, in which "
UP = "./quartet up"
EXIT_CODES = {"./quartet status": 3, "./quartet doctor": 7}
"""Of commands that say that a process is stopped."""


async def test_each_command_of_the_runbook_works_with_a_broken_stack_and_up_repairs_it(stack: Stack) -> None:
    shell = Shell(stack)
    async with stopped(stack, BROKEN):
        await eventually(lambda: is_named(stack), "the problem in the status", PATIENCE)
        for command in commands():
            if command.text not in {*ELSEWHERE, UP}:
                await asyncio.to_thread(shell.run, command)
        said = shell.said["rabbitmqctl list_queues name messages consumers"]
        assert any(line.split()[0] == "quartet.audit" and line.endswith("\t0") for line in said.splitlines()[2:]), said
        await asyncio.to_thread(shell.run, Command(UP, is_sql=False))
        await eventually(lambda: is_repaired(stack), "a status without problems", PATIENCE)


async def is_named(stack: Stack) -> bool:
    return PROBLEM in (await quartet(stack, "status"))[1]


async def is_repaired(stack: Stack) -> bool:
    code, output, _ = await quartet(stack, "status")
    return code == 0 and PROBLEM not in output


class Shell:
    """Runs commands of the runbook one after the other; variables that one sets are there for the next."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._assignments: list[str] = []
        self.said: dict[str, str] = {}
        self._values = {
            "http://127.0.0.1:8080": stack.url,
            "acme": new_tenant(),
            "logs NAME": f"logs {BROKEN}",
            "127.0.0.1:PORT": f"{ports.HOST}:{stack.state.ports['users-api-private']}",
            "-p PORT": f"-p {stack.state.ports['postgres']}",
            "PID": str(pid(stack, "rabbitmq")),
            ".quartet/secrets": str(stack.home.secrets),
            "./quartet": f"{shlex.quote(sys.executable)} -m quartet_cli",
        }
        stack.token(self._values["acme"])  # creates the tenant

    def run(self, command: Command) -> None:
        """Run it. Raises AssertionError with what it says if it fails."""
        line = self._psql(command.text) if command.is_sql else command.text
        for written, value in self._values.items():
            line = line.replace(written, value)
        done = subprocess.run(
            ["/bin/bash", "-c", "\n".join([self._functions(), *self._assignments, line])],
            check=False,
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "QUARTET_HOME": str(self._stack.home.path)},
        )
        output = self.said[command.text] = done.stdout + done.stderr
        wanted = EXIT_CODES.get(command.text, 0)
        assert done.returncode == wanted, f"{command.text}: exit code {done.returncode}\n{output}"
        assert not command.text.startswith("curl -s ") or '"status":5' not in output, f"{command.text}\n{output}"
        name, _, value = line.partition("=")
        if name.isupper() and name.isalpha() and not value.startswith("$(cat"):
            self._assignments.append(line)

    def _psql(self, statement: str) -> str:
        password = shlex.quote((self._stack.home.secrets / "postgres/password").read_text().strip())
        there = f"-h {ports.HOST} -p {self._stack.state.ports['postgres']} -U postgres quartet"
        return f"PGPASSWORD={password} psql -v ON_ERROR_STOP=1 {there} -c {shlex.quote(statement)}"

    def _functions(self) -> str:
        """RabbitMQ's commands for the node of the stack, and the programs of PostgreSQL."""
        found = binaries.find()
        node = self._stack.programs["rabbitmq"].environment
        variables = " ".join(
            f"{name}={shlex.quote(node[name])}" for name in ("HOME", "ERL_EPMD_PORT", "RABBITMQ_NODENAME")
        )
        lines = [
            f'{name}() {{ env {variables} {found.rabbitmq.with_name(name)} "$@"; }}'
            for name in ("rabbitmqctl", "rabbitmq-diagnostics")
        ]
        return "\n".join([*lines, f"PATH={found.postgres}:$PATH"])
