"""A rolling restart: one process after the other, so that no request fails. docs/upgrading.md."""

from collections.abc import Mapping, Sequence

from quartet_cli import instances
from quartet_cli.bringup import Report, start_and_wait
from quartet_cli.errors import ProcessFailedError, QuartetError
from quartet_cli.programs import Program
from quartet_cli.supervisor import Supervisor

SECONDS = 90.0


def restart(supervisor: Supervisor, programs: Sequence[Program], spares: Mapping[str, Program], report: Report) -> None:
    """Restart apis and workers in turn; each is ready before the next one stops.

    `spares` are the spare processes by the names of their apis. Raises QuartetError for a server, before anything is
    restarted, and ProcessFailedError if a process does not become ready: the others, and its spare, keep running.
    """
    for program in programs:
        kind = instances.kind_of(program.name)
        if kind is None:
            raise QuartetError(f"{program.name} is one process on one data folder: restart it without --rolling.")
        if kind == "api" and program.name not in spares:
            raise QuartetError(
                f"{program.name} was started by an older release: run ./quartet down && ./quartet up once."
            )
    for program in programs:
        spare = spares.get(program.name)
        if spare is None:  # events wait in the queues while a worker is away
            supervisor.stop_and_wait([program.name])
            start_and_wait(supervisor, [program], SECONDS, report)
        else:
            _replace(supervisor, program, spare, report)


def _replace(supervisor: Supervisor, api: Program, spare: Program, report: Report) -> None:
    """Restart one api while its spare process listens at the same port."""
    start_and_wait(supervisor, [api], SECONDS)  # an earlier restart may have left the spare alone at the port
    supervisor.stop_and_wait([spare.name])
    start_and_wait(supervisor, [spare], SECONDS, report)
    supervisor.stop_and_wait([api.name])
    try:
        start_and_wait(supervisor, [api], SECONDS, report)
    except ProcessFailedError as error:
        reason = f"{error.reason}; {spare.name} answers in its place. Correct this, and repeat the restart"
        raise ProcessFailedError(api.name, reason, error.log) from error
    supervisor.stop_and_wait([spare.name])
    report(spare.name, "stopped")
