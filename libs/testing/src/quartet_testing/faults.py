"""Faults: stops, pauses and kills processes of a stack, holds rows, and looks into processes from outside."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import psutil

from quartet_cli import ports
from quartet_cli.bringup import LINES, tail
from quartet_cli.catalogue import command
from quartet_cli.health import http_ready
from quartet_cli.stack import Stack
from quartet_common.data.connections import Connection, SingleConnection
from quartet_testing.conditions import PATIENCE, eventually

LOCK_TIMEOUT = "30s"
"""How long a connection of a test waits for a lock: a process that is paused in a transaction never ends it."""


@asynccontextmanager
async def stopped(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process is stopped gracefully inside the block, and ready again after it."""
    await asyncio.to_thread(stack.stop, name)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.start, name)


@asynccontextmanager
async def paused(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process and its children do nothing inside the block: connections stay open and nobody answers."""
    main = psutil.Process(pid(stack, name))
    main.suspend()  # first, so that it has no more children than those that are paused next
    everybody = [main, *main.children(recursive=True)]
    try:
        for process in everybody[1:]:
            process.suspend()
        await eventually(partial(_are_stopped, everybody), f"{name} to be paused")
        yield
    finally:
        for process in everybody:
            if process.is_running():
                process.resume()


async def _are_stopped(processes: Sequence[psutil.Process]) -> bool:
    """Whether every thread is stopped: a signal stops the threads of a process one after the other."""
    return all(_state(thread) in "TZ" for process in processes for thread in _threads(process))


def _threads(process: psutil.Process) -> list[Path]:
    return list(Path(f"/proc/{process.pid}/task").iterdir())


def _state(thread: Path) -> str:
    """The state of a thread, as one letter (proc(5), stat)."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@asynccontextmanager
async def alarm(stack: Stack) -> AsyncIterator[None]:
    """RabbitMQ has a memory alarm inside the block, as if it used all it may: it takes no messages."""
    await rabbitmqctl(stack, "set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        await rabbitmqctl(stack, "set_vm_memory_high_watermark", "0.4")


FORGET = """#{names := #{directory_rev := Table}} = ra_system:fetch(quorum_queues),
ok = dets:insert(Table, {NAME, <<"GONE">>}), dets:sync(Table)."""


async def forget_log(stack: Stack, queue: str) -> None:
    """Have RabbitMQ look for the queue's log in a wrong place from its next start on, as it does when it was killed
    within a second after the queue was deleted and declared again.
    """
    await evaluate(stack, FORGET, queue)


async def evaluate(stack: Stack, code: str, queue: str) -> None:
    """Run Erlang code in RabbitMQ; NAME stands for the process of the quorum queue."""
    await rabbitmqctl(stack, "eval", code.replace("NAME", f'list_to_atom("%2F_{queue}")'))


async def rabbitmqctl(
    stack: Stack, *arguments: str, environment: Mapping[str, str] | None = None, command: str = "rabbitmqctl"
) -> str:
    """What RabbitMQ's own command says, for the node with that `environment` if it is another one than the stack's.
    Raises AssertionError with it when the command fails.
    """
    program = stack.programs["rabbitmq"]
    tool = Path(program.command[0]).with_name(command)
    variables = {"PATH": os.environ["PATH"], **(environment or program.environment), "RABBITMQ_LOGS": ""}
    process = await asyncio.create_subprocess_exec(
        str(tool), *arguments, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def kill(stack: Stack, name: str) -> None:
    """Kill the process with SIGKILL; returns once it is dead. The supervisor starts it again."""
    victim = psutil.Process(pid(stack, name))
    victim.kill()
    await asyncio.to_thread(psutil.wait_procs, [victim], PATIENCE)


async def back(stack: Stack, *names: str) -> None:
    """Wait until each process runs and says that it is ready; all of them when none is named.

    Raises AssertionError with the last lines of the logs of those that are not.
    """
    programs = stack.programs
    waiting = set(names or programs)

    async def probe() -> bool:
        for name in waiting & pids(stack).keys():
            if await asyncio.to_thread(programs[name].check) is None:
                waiting.discard(name)
        assert not waiting, waiting
        return True

    try:
        await eventually(probe, f"{', '.join(names) or 'every process'} to be ready", PATIENCE)
    except AssertionError as error:
        logs = [line for name in waiting for line in tail(stack.home.logs / f"{name}.log", LINES)]
        raise AssertionError("\n".join([str(error), *logs])) from None


async def replaced(stack: Stack, name: str, old: int) -> None:
    """Wait until the supervisor has started another process in the place of the one with the pid `old`."""

    async def probe() -> bool:
        return pids(stack).get(name, old) != old

    await eventually(probe, f"another {name}", PATIENCE)
    await back(stack, name)


async def told_to_stop(stack: Stack, name: str) -> None:
    """Wait until the process says that it is stopping."""
    check = stack.programs[name].check

    async def probe() -> bool:
        return "stopping" in (await asyncio.to_thread(check) or "")

    await eventually(probe, f"{name} to stop", PATIENCE)


def pid(stack: Stack, name: str) -> int:
    """The pid of a running process."""
    found = pids(stack)
    assert name in found, f"{name} does not run"
    return found[name]


def pids(stack: Stack) -> dict[str, int]:
    """The pids of all running processes."""
    return {name: process.pid for name, process in stack.supervisor.processes().items() if process.pid}


@asynccontextmanager
async def database(stack: Stack, service: str) -> AsyncIterator[SingleConnection]:
    """A connection as the owner of the service's tables, to hold what the service wants to write."""
    environment = stack.environment(service, "migrate")
    password = (Path(environment["QUARTET_SECRETS_DIR"]) / "quartet_database_password").read_text()
    url = environment["QUARTET_DATABASE_URL"]
    settings = {"search_path": service, "lock_timeout": LOCK_TIMEOUT}
    connection = await asyncpg.connect(url, password=password, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def somebody_waits(connection: Connection, table: str) -> None:
    """Wait until another session waits for a lock while it works on `table`."""
    # a row's lock is waited for as the transaction that holds it, so the statement's text tells what it is about
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'"

    async def probe() -> bool:
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees the first look again and again
        return bool(await connection.fetchval(waiting, table))

    await eventually(probe, f"somebody to wait for {table}", PATIENCE)


async def metrics_text(stack: Stack, process: str) -> str:
    """The Prometheus text of one process. Raises HTTPStatusError."""
    headers = {"Authorization": f"Bearer {(stack.home.secrets / 'prometheus/token').read_text().strip()}"}
    url = f"http://{ports.HOST}:{stack.state.ports[f'{process}-private']}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url, headers=headers)).raise_for_status().text


async def measured(stack: Stack, process: str, name: str, **labels: str) -> float:
    """The sum of a Prometheus counter or gauge of one process, over its series that carry `labels`; 0 without any."""
    text = await metrics_text(stack, process)
    lines = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(float(value) for found, value in lines if all(one in found for one in wanted))


@contextmanager
def second_worker(stack: Stack, service: str) -> Iterator[str]:
    """Another worker of the service next to the supervised one; returns its readiness URL."""
    [port] = ports.choose(1, set(stack.state.ports.values()))
    environment = {**stack.environment(service, "worker"), "QUARTET_PRIVATE_PORT": str(port)}
    log = (stack.home.logs / f"{service}-worker-second.log").open("a")
    process = subprocess.Popen(
        command(service, "worker"), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield f"http://{ports.HOST}:{port}/health/ready"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            log.close()


async def answers_ready(url: str) -> None:
    """Wait until the health page at `url` says ready."""

    async def probe() -> bool:
        return await asyncio.to_thread(http_ready, url) is None

    await eventually(probe, f"{url} to be ready", PATIENCE)
