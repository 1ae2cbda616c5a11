"""The stack as one object, for the command line and for tests with real servers."""

import subprocess
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
    instances,
    leftovers,
    ports,
    preparation,
    problems,
    rolling,
    settings,
    status,
    tenants,
    tokens,
)
from quartet_cli.bringup import LINES, Report, silent, start_and_wait, tail, together
from quartet_cli.command_lock import exclusive, uninterrupted
from quartet_cli.errors import NotRunningError, ProcessFailedError, QuartetError, SettingsDifferError
from quartet_cli.layout import SERVICES, Home
from quartet_cli.programs import Program
from quartet_cli.servers import exporters, nginx, postgres, rabbitmq, redis, victoria_metrics
from quartet_cli.state import State, port_names
from quartet_cli.status import ProcessStatus
from quartet_cli.supervisor import Supervisor

SERVER_SECONDS = 90.0
SERVICE_SECONDS = 120.0
CONNECTIONS = 200
CONNECTIONS_OF_A_PAIR = 24
"""Connections to PostgreSQL of an api and a worker: two pools, their watches and the relay."""
ENDED = ("STOPPED", "EXITED", "FATAL")


class Stack:
    """All processes of one home. `port` is that of the proxy (None: the port of the last start, or a free one).

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

    # ---- properties ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"http://{ports.HOST}:{self._ports()['proxy']}"

    @property
    def programs(self) -> dict[str, Program]:
        """All supervised programs by name, in the order of their start."""
        return {p.name: p for p in catalogue.programs(self.home, self.state, self.services, self.extra_environment)}

    @property
    def spares(self) -> dict[str, Program]:
        """The spare process of each api, by the name of the api."""
        found = catalogue.spares(self.state.ports, list(self.programs.values()))
        return {program.name.removesuffix(instances.SPARE): program for program in found}

    def environment(self, service: str, process: str) -> dict[str, str]:
        """The environment of `<service>-<process>`: api, worker or migrate."""
        return environment.service(self.home, self._ports(), service, process) | self.extra_environment

    def token(self, tenant: str = "default", scope: str | None = None) -> str:
        """A bearer token of the launcher's own API client; creates the tenant if it does not exist."""
        return tenants.token_of(self.url, tenant, scope, tokens.own_secret(self.home))

    def status(self) -> list[ProcessStatus]:
        """The state, address and health of all processes; all are stopped if the stack does not run."""
        if not self.state.ports:
            return []
        processes = self.supervisor.processes() if self.is_running() else {}
        left = [spare for spare in self.spares.values() if spare.name in processes and processes[spare.name].pid]
        found = status.gather(self.supervisor, [*self.programs.values(), *left])
        return problems.added(found, self.home.secrets / "prometheus/token")

    def is_running(self) -> bool:
        """Whether the supervisor runs."""
        return self.supervisor.is_running()

    @cached_property
    def user(self) -> str | None:
        """The account of the processes when root starts the stack; None for an ordinary user's stack.

        It is `root` only if no mount namespace can be made and the checkout is closed to other users.
        """
        if not accounts.is_root():
            return None
        name = accounts.quartet_user().pw_name
        return name if confined.works(name, self.home.path) else "root"

    # ---- up -----------------------------------------------------------------------------------------------------

    def up(self, report: Report = silent) -> bool:
        """Start all processes that do not run, and wait until all are healthy; True if any was started.

        Raises QuartetError, after stopping the processes that it started.
        """
        with exclusive(self.home, report):
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
        """Start PostgreSQL, Redis and RabbitMQ only, and create roles and schemas."""
        with exclusive(self.home, report):
            if self.is_running():
                servers = [self.programs[name] for name in catalogue.SERVERS]
                return start_and_wait(self.supervisor, servers, SERVER_SECONDS, report)
            with self._all_or_nothing(report):
                self._start_servers(report)
        return None

    def _require_same_settings(self) -> None:
        """Raise SettingsDifferError if the running stack was started with other settings."""
        state = self.state = State.load(self.home.state_file)
        wanted = dict(self.extra_environment)
        running = dict(state.settings)
        if self._port is not None:
            wanted[settings.PORT], running[settings.PORT] = str(self._port), str(state.ports["proxy"])
        differing = {n: (running.get(n, ""), value) for n, value in wanted.items() if running.get(n, "") != value}
        if differing:
            raise SettingsDifferError(differing)

    def _repair(self, report: Report) -> bool:
        """Start missing processes of a running stack. If that fails, the others keep running."""
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
        """Start PostgreSQL, Redis and RabbitMQ in parallel."""
        found = self._prepare(report)
        programs = [*self.programs.values(), *self.spares.values()]
        self.supervisor.start([self._owned(program) for program in programs], self._prefix("root"))
        together(
            lambda: self._start_postgres(found, report),
            lambda: self._start_in_turn(("redis",), report),
            lambda: self._start_in_turn(("epmd", "rabbitmq"), report),
        )

    def _prepare(self, report: Report) -> binaries.Binaries:
        """Write all files: folders, secrets, ports, configurations."""
        found = binaries.find()
        self.home.prepare()
        if self._unwatched:
            preparation.start_watcher(self.home)
            self._unwatched = False
        self._end_leftovers(report)
        preparation.make_secrets(self.home)
        self._choose_ports()
        preparation.make_server_folders(self.home, self.user, report)
        redis.prepare(self.home, self.state.ports)
        rabbitmq.prepare(self.home, self.state.ports)
        victoria_metrics.prepare(self.home, self.state.ports, self.services, self._numbers())
        nginx.prepare(self.home, self.state.ports, self.extra_environment, self.user or "root")
        Path(self.state.postgres_data).parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        return found

    def _numbers(self) -> dict[str, str]:
        """The servers whose numbers the engine reads, each with the name of the port."""
        numbers = {"rabbitmq": "rabbitmq-metrics", "nginx": "proxy-metrics"}
        exported = {"postgresql": exporters.POSTGRES, "redis": exporters.REDIS}
        return numbers | {name: program for name, program in exported.items() if program in self.programs}

    def _owned(self, program: Program) -> Program:
        """The program with the account of the stack, unless it has its own. nginx changes its account itself."""
        return program if program.name == "proxy" else replace(program, user=program.user or self.user)

    def _prefix(self, user: str | None) -> list[str]:
        """The prefix of the command of a process that root starts as `user`."""
        return [] if user is None or self.user in (None, "root") else confined.prefix(user, self.home.path)

    def _choose_ports(self) -> None:
        """Keep the ports of the last start, which must be free, and choose missing ones."""
        state = self.state = State.load(self.home.state_file)
        kept = dict(state.ports)
        if self._port is not None:
            kept["proxy"] = state.ports["proxy"] = self._port
        ports.require_free(kept)
        state.complete((*port_names(self.services, self.extra_environment), "proxy"))
        if binaries.find().victoria_metrics is None:
            del state.ports["victoria-metrics"]  # so that the service says that there is no engine
        state.postgres_data = state.postgres_data or str(self.home.postgres_data)
        state.settings = self.extra_environment
        state.save(self.home.state_file)

    def _start_postgres(self, found: binaries.Binaries, report: Report) -> None:
        data = Path(self.state.postgres_data)
        pairs = sum(instances.count(self.extra_environment, service) for service in self.services)
        connections = max(CONNECTIONS, CONNECTIONS_OF_A_PAIR * (pairs + 2))
        postgres.prepare(self.home, found, data, self.state.ports["postgres"], connections)
        start_and_wait(self.supervisor, [self.programs["postgres"]], SERVER_SECONDS, report)
        postgres.make_roles(self.home, found, self.state.ports["postgres"])

    def _start_in_turn(self, names: Sequence[str], report: Report) -> None:
        for name in names:
            start_and_wait(self.supervisor, [self.programs[name]], SERVER_SECONDS, report)

    def _migrate(self, report: Report, *options: str) -> None:
        """Run the migrations of all services in parallel."""
        together(*(partial(self._migrate_one, service, report, options) for service in self.services))

    def _migrate_one(self, service: str, report: Report, options: Sequence[str] = ()) -> None:
        name = f"{service}-migrate"
        report(name, "migrating")
        log = self.home.logs / f"{name}.log"
        with log.open("w") as output:
            done = subprocess.run(
                [*self._prefix(self.user), *catalogue.command(service, "migrate"), *options],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment(service, "migrate"),
                cwd=self.home.run,
                start_new_session=True,  # it is ended with the other leftovers if the start fails
            )
        if done.returncode != 0:
            raise ProcessFailedError(name, f"exit code {done.returncode}", tail(log, LINES))
        report(name, "migrated")

    # ---- down ---------------------------------------------------------------------------------------------------

    def down(self, report: Report = silent) -> bool:
        """Stop all processes in order and gracefully; False if none was running."""
        if not self.home.run.is_dir():
            return False
        with exclusive(self.home, report):
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
        """End processes of a supervisor that was killed."""
        left = leftovers.find(self.home, Path(self.state.postgres_data or self.home.postgres_data))
        if left:
            report("leftovers", f"ending {len(left)} processes of an earlier run")
            leftovers.end(left)
        return bool(left)

    # ---- single processes -----------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        start_and_wait(self.supervisor, [self._program(name)], SERVER_SECONDS)

    def stop(self, name: str) -> None:
        """Stop one process gracefully and wait until it has ended; it stays stopped."""
        self.supervisor.stop_and_wait([self._program(name).name])

    def kill(self, name: str, signal_name: str | int = "KILL") -> None:
        """Send a signal, by name or number, to one process; the supervisor restarts it if it ends."""
        self.supervisor.signal(self._program(name).name, f"{signal_name}")

    def restart(self, name: str, report: Report = silent) -> None:
        """Restart one process, all of a kind (`users-api`), or all of a service."""
        programs = self._meant(name)
        self._require_same_settings()
        self.supervisor.stop_and_wait([program.name for program in programs])
        start_and_wait(self.supervisor, programs, SERVER_SECONDS, report)

    def restart_rolling(self, name: str | None = None, report: Report = silent) -> None:
        """Restart the processes that `name` means, or all apis and workers after their migrations, one after the other.

        Raises QuartetError, with all processes running, for a migration that the running ones could not work with.
        """
        programs = (
            self._meant(name) if name else [self._program(each) for each in self.programs if instances.kind_of(each)]
        )
        self._require_same_settings()
        with exclusive(self.home, report):
            if name is None:
                self._migrate(report, "--rolling")
            rolling.restart(self.supervisor, programs, self.spares, report)

    def _meant(self, name: str) -> list[Program]:
        found = instances.meant(name, self.programs) if self.is_running() else []
        return [self._program(each) for each in found or [name]]

    def _program(self, name: str) -> Program:
        if not self.is_running():
            raise NotRunningError
        known = self.programs | {spare.name: spare for spare in self.spares.values()}
        if name not in known:
            raise QuartetError(f"No such process: {name}. The processes are: {', '.join(self.programs)}")
        return known[name]

    # ---- common ---------------------------------------------------------------------------------------------------

    def _ports(self) -> dict[str, int]:
        if not self.state.ports:
            self.state = State.load(self.home.state_file)
        if not self.state.ports:
            raise NotRunningError
        return self.state.ports

    @contextmanager
    def _all_or_nothing(self, report: Report) -> Iterator[None]:
        try:
            yield
        except BaseException:  # also KeyboardInterrupt
            with uninterrupted():
                self._down(report)
            raise


def _without(programs: Mapping[str, Program], names: Sequence[str]) -> list[Program]:
    return [program for name, program in programs.items() if name not in names]
