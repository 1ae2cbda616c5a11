"""The stack as one object: the same for the command line and for the tests that need real servers."""

import compileall
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from quartet_cli import (
    accounts,
    binaries,
    catalogue,
    confined,
    environment,
    leftovers,
    ports,
    problems,
    settings,
    status,
    tenants,
    tokens,
)
from quartet_cli.bringup import LINES, Report, silent, start_and_wait, tail, together
from quartet_cli.errors import NotRunningError, ProcessFailedError, QuartetError, SettingsDifferError
from quartet_cli.layout import CHECKOUT, SERVICES, Home
from quartet_cli.programs import Program
from quartet_cli.servers import nginx, postgres, rabbitmq, redis
from quartet_cli.state import State, port_names
from quartet_cli.status import ProcessStatus
from quartet_cli.supervisor import Supervisor

SERVER_SECONDS = 90.0
SERVICE_SECONDS = 120.0
ENDED = ("STOPPED", "EXITED", "FATAL")
IMPORT_ALL = f"""
import importlib, pkgutil
for name in {[f"quartet_{name}" for name in (*SERVICES, "common")]}:
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
"""Imports whatever a process of a service imports, also within functions."""


class Stack:
    """All processes of one home. `port` is the proxy's (None: the one kept from before, else any free one).

    A `temporary` stack ends, and its home is removed, when this process has ended, even by SIGKILL.
    """

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        services: Sequence[str] = SERVICES,
        extra_environment: Mapping[str, str] | None = None,
        temporary: bool = False,
    ) -> None:
        self.home = Home(Path(home).resolve())
        self.services = tuple(services)
        mine = settings.current(self.home.settings_file)
        self.extra_environment = {**environment.handed_on(mine), **(extra_environment or {})}
        self.supervisor = Supervisor(self.home)
        self.state = State.load(self.home.state_file)
        self._port = port
        self._unwatched = temporary

    # ---- what it is ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the proxy answers."""
        return f"http://{ports.HOST}:{self._ports()['proxy']}"

    @property
    def programs(self) -> dict[str, Program]:
        """Every supervised program by name, in the order of the start."""
        return {p.name: p for p in catalogue.programs(self.home, self.state, self.services, self.extra_environment)}

    def environment(self, service: str, process: str) -> dict[str, str]:
        """The environment of `<service>-<process>`: api, worker or migrate."""
        return environment.service(self.home, self._ports(), service, process) | self.extra_environment

    def token(self, tenant: str = "default", scope: str | None = None) -> str:
        """A bearer token of the launcher's own API client; the tenant is made if it is not there yet."""
        return tenants.token_of(self.url, tenant, scope, tokens.own_secret(self.home))

    def status(self) -> list[ProcessStatus]:
        """Every process with its state, address and health; all stopped where the stack does not run."""
        if not self.state.ports:
            return []
        found = status.gather(self.supervisor, list(self.programs.values()))
        return problems.added(found, self.home.secrets / "prometheus/token")

    def is_running(self) -> bool:
        """Whether its supervisor is there."""
        return self.supervisor.is_running()

    @cached_property
    def user(self) -> str | None:
        """The account of the processes when root starts the stack; None for an ordinary user's stack.

        It is `root` only where no mount namespace can be made and the checkout is closed to other users.
        """
        if not accounts.is_root():
            return None
        name = accounts.quartet_user().pw_name
        return name if confined.works(name, self.home.path) else "root"

    # ---- up -----------------------------------------------------------------------------------------------------

    def up(self, report: Report = silent) -> bool:
        """Starts what is not running and returns when everything is healthy; True if there was anything to start.

        Raises QuartetError; what this call started is then stopped again.
        """
        with self._lock(report):
            if self.is_running():
                self._require_same_settings()
                return self._repair(report)
            with self._all_or_nothing(report):
                self._start_servers(report)
                self._migrate(report)
                processes = self.programs
                start_and_wait(self.supervisor, _without(processes, catalogue.SERVERS), SERVICE_SECONDS, report)
        return True

    def start_servers(self, report: Report = silent) -> None:
        """Starts PostgreSQL, Redis and RabbitMQ only, with roles and schemas made."""
        with self._lock(report):
            if self.is_running():
                servers = [self.programs[name] for name in catalogue.SERVERS]
                return start_and_wait(self.supervisor, servers, SERVER_SECONDS, report)
            with self._all_or_nothing(report):
                self._start_servers(report)
        return None

    def _require_same_settings(self) -> None:
        """Raises SettingsDifferError if a setting is asked for that the running stack was not started with."""
        state = self.state = State.load(self.home.state_file)
        wanted = dict(self.extra_environment)
        running = dict(state.settings)
        if self._port is not None:
            wanted[settings.PORT], running[settings.PORT] = str(self._port), str(state.ports["proxy"])
        differing = {n: (running.get(n, ""), value) for n, value in wanted.items() if running.get(n, "") != value}
        if differing:
            raise SettingsDifferError(differing)

    def _repair(self, report: Report) -> bool:
        """The stack runs: starts what is missing in it. If that fails, the rest is left as it was."""
        self.state = State.load(self.home.state_file)
        running = {name for name, process in self.supervisor.processes().items() if process.pid}
        missing = [name for name in self.programs if name not in running]
        servers = [self.programs[name] for name in catalogue.SERVERS]
        start_and_wait(self.supervisor, servers, SERVER_SECONDS)
        if any(name.startswith(self.services) for name in missing):
            self._migrate(report)
        start_and_wait(self.supervisor, _without(self.programs, catalogue.SERVERS), SERVICE_SECONDS)
        for name in missing:
            report(name, "started again")
        return bool(missing)

    def _start_servers(self, report: Report) -> None:
        """PostgreSQL, Redis and RabbitMQ side by side."""
        found = self._prepare(report)
        self.supervisor.start([self._owned(program) for program in self.programs.values()], self._prefix("root"))
        together(
            lambda: self._start_postgres(found, report),
            lambda: self._start_in_turn(("redis",), report),
            lambda: self._start_in_turn(("epmd", "rabbitmq"), report),
        )

    def _prepare(self, report: Report) -> binaries.Binaries:
        """Everything that lies on disk: folders, secrets, ports, configurations."""
        found = binaries.find()
        self.home.prepare()
        if self._unwatched:
            _watch(self.home)
            self._unwatched = False
        self._end_leftovers(report)
        _make_secrets(self.home)
        self._choose_ports()
        self._hand_over(report)
        redis.prepare(self.home, self.state.ports)
        rabbitmq.prepare(self.home, self.state.ports)
        nginx.prepare(self.home, self.state.ports, self.extra_environment, self.user or "root")
        Path(self.state.postgres_data).parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        return found

    def _hand_over(self, report: Report) -> None:
        """Makes the servers' folders. Started by root: gives them to the account, also those that a stack made which
        ran as root, and lets it read the services' secrets.
        """
        home = self.home
        folders = [home.data / "redis", home.data / "rabbitmq", home.run / "rabbitmq"]
        for folder in (*folders, home.run / "rabbitmq/conf.d"):
            folder.mkdir(exist_ok=True, mode=0o700)
        if self.user == "root":
            report("quartet", f"runs as root: other users cannot reach {CHECKOUT}; move the checkout, e.g. to /opt")
        if self.user in (None, "root"):
            return
        account = accounts.quartet_user()
        for folder in folders:
            accounts.give(folder, account)
        for service in SERVICES:
            accounts.let_read(home.secrets / service, account)
        _write_bytecode()

    def _owned(self, program: Program) -> Program:
        """The program as it is supervised: as the account, if it has none of its own. nginx changes it by itself."""
        return program if program.name == "proxy" else replace(program, user=program.user or self.user)

    def _prefix(self, user: str | None) -> list[str]:
        """What stands before the command of a process that root starts as `user`."""
        return [] if user is None or self.user in (None, "root") else confined.prefix(user, self.home.path)

    def _choose_ports(self) -> None:
        """Keeps the ports of before, if nobody else took them meanwhile, and completes them."""
        state = self.state = State.load(self.home.state_file)
        kept = dict(state.ports)
        if self._port is not None:
            kept["proxy"] = state.ports["proxy"] = self._port
        ports.require_free(kept)
        state.complete((*port_names(self.services), "proxy"))
        state.postgres_data = state.postgres_data or str(self.home.postgres_data)
        state.settings = self.extra_environment
        state.save(self.home.state_file)

    def _start_postgres(self, found: binaries.Binaries, report: Report) -> None:
        data = Path(self.state.postgres_data)
        postgres.prepare(self.home, found, data, self.state.ports["postgres"])
        start_and_wait(self.supervisor, [self.programs["postgres"]], SERVER_SECONDS, report)
        postgres.make_roles(self.home, found, self.state.ports["postgres"])

    def _start_in_turn(self, names: Sequence[str], report: Report) -> None:
        for name in names:
            start_and_wait(self.supervisor, [self.programs[name]], SERVER_SECONDS, report)

    def _migrate(self, report: Report) -> None:
        """The migrations of all services side by side."""
        together(*(partial(self._migrate_one, service, report) for service in self.services))

    def _migrate_one(self, service: str, report: Report) -> None:
        name = f"{service}-migrate"
        report(name, "migrating")
        log = self.home.logs / f"{name}.log"
        with log.open("w") as output:
            done = subprocess.run(
                [*self._prefix(self.user), *catalogue.command(service, "migrate")],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment(service, "migrate"),
                cwd=self.home.run,
                start_new_session=True,  # ended with the other leftovers when the start is given up
            )
        if done.returncode != 0:
            raise ProcessFailedError(name, f"exit code {done.returncode}", tail(log, LINES))
        report(name, "migrated")

    # ---- down ---------------------------------------------------------------------------------------------------

    def down(self, report: Report = silent) -> bool:
        """Stops everything, in order and gracefully; False if there was nothing to stop."""
        if not self.home.run.is_dir():
            return False
        with self._lock(report):
            return self._down(report)

    def _down(self, report: Report) -> bool:
        was_running = self.is_running()
        if was_running:
            running = [name for name, process in self.supervisor.processes().items() if process.state not in ENDED]
            for stage in catalogue.stop_order(running):
                report(", ".join(stage), "stopping")
                self.supervisor.stop_and_wait(stage)
                report(", ".join(stage), "stopped")
            self.supervisor.shutdown()
        return self._end_leftovers(report) or was_running

    def _end_leftovers(self, report: Report) -> bool:
        """Ends what a supervisor that was killed left behind."""
        left = leftovers.find(self.home, Path(self.state.postgres_data or self.home.postgres_data))
        if left:
            report("leftovers", f"ending {len(left)} processes of an earlier run")
            leftovers.end(left)
        return bool(left)

    # ---- single processes -----------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Starts one process and returns when it is ready."""
        start_and_wait(self.supervisor, [self._program(name)], SERVER_SECONDS)

    def stop(self, name: str) -> None:
        """Stops one process gracefully and returns when it has ended; it stays stopped."""
        self.supervisor.stop_and_wait([self._program(name).name])

    def kill(self, name: str, signal_name: str | int = "KILL") -> None:
        """Sends a signal, by name or number, to one process; the supervisor restarts it when it ends."""
        self.supervisor.signal(self._program(name).name, f"{signal_name}")

    def restart(self, name: str, report: Report = silent) -> None:
        """Restarts one process; a service's name restarts both of its processes."""
        names = [f"{name}-api", f"{name}-worker"] if name in self.services else [name]
        programs = [self._program(each) for each in names]
        self._require_same_settings()
        self.supervisor.stop_and_wait(names)
        start_and_wait(self.supervisor, programs, SERVER_SECONDS, report)

    def _program(self, name: str) -> Program:
        if not self.is_running():
            raise NotRunningError
        if name not in self.programs:
            raise QuartetError(f"No such process: {name}. The processes are: {', '.join(self.programs)}")
        return self.programs[name]

    # ---- common ---------------------------------------------------------------------------------------------------

    def _ports(self) -> dict[str, int]:
        if not self.state.ports:
            self.state = State.load(self.home.state_file)
        if not self.state.ports:
            raise NotRunningError
        return self.state.ports

    @contextmanager
    def _lock(self, report: Report) -> Iterator[None]:
        """One command at a time per home; the kernel lifts the lock when its holder ends."""
        self.home.prepare()
        with os.fdopen(os.open(self.home.run / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report("quartet", "waiting for another command on this stack")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _all_or_nothing(self, report: Report) -> Iterator[None]:
        try:
            yield
        except BaseException:  # a Ctrl-C too leaves nothing behind
            with uninterrupted():
                self._down(report)
            raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds off a second Ctrl-C while the first one is being obeyed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _without(programs: Mapping[str, Program], names: Sequence[str]) -> list[Program]:
    return [program for name, program in programs.items() if name not in names]


def _watch(home: Home) -> None:
    """Have the stack end after this process."""
    command = [sys.executable, "-m", "quartet_cli.watcher", str(home.path)]
    subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


def _write_bytecode() -> None:
    """Compile, as root, what the services import: their account cannot write in the checkout, and would compile it all
    at each start of each process.
    """
    for folder in (*CHECKOUT.glob("libs/*/src"), *CHECKOUT.glob("services/*/src")):
        compileall.compile_dir(folder, quiet=2)
    mark = Path(sys.prefix) / "quartet-compiled"  # removed with the environment
    if not mark.exists():
        done = subprocess.run([sys.executable, "-c", IMPORT_ALL], check=False, capture_output=True, cwd="/")
        if done.returncode == 0:
            mark.touch()


def _make_secrets(home: Home) -> None:
    command = ["/bin/sh", str(CHECKOUT / "deploy/secrets.sh"), str(home.secrets)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise QuartetError(f"Cannot create the secrets: {done.stderr.strip()}")
