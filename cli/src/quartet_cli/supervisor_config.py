"""The configuration of supervisord: one section for each program."""

import os
from collections.abc import Sequence

from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.programs import Program

HEAD = """\
[supervisord]
logfile={home}/logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={home}/run/supervisord.pid
childlogdir={home}/logs
directory={home}/run
identifier=quartet
umask=077
minfds=4096
{user}
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# autostart: the launcher starts the programs in order. autorestart: a program that exits is restarted.
# startsecs, startretries: a program that exits within 5 s is restarted after 1 s, then 2, 3, ... up to 15 minutes: a
# crash loop takes little CPU time, and the retries outlast every outage.
# stopasgroup off: the servers stop their own children in order; killasgroup on: a timeout kills all of them.
PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
autostart=false
autorestart=true
startsecs=5
startretries=1000
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
{user}"""


def render(home: Home, programs: Sequence[Program]) -> str:
    """The whole file. It names root as the user, since supervisord warns without a user."""
    user = "user=root\n" if os.getuid() == 0 else ""
    head = HEAD.format(home=_plain(str(home.path)), socket=_plain(str(home.socket)), user=user)
    return head + "".join(_section(home, program) for program in programs)


def _section(home: Home, program: Program) -> str:
    return PROGRAM.format(
        name=program.name,
        command=" ".join(_word(part) for part in program.command),
        directory=_plain(str(program.directory)),
        environment=",".join(f"{name}={_value(text)}" for name, text in program.environment.items()),
        stop_signal=program.stop_signal,
        stop_seconds=program.stop_seconds,
        log=_plain(str(home.logs / f"{program.name}.log")),
        user=f"user={program.user}\n" if program.user else "",
    )


def _plain(text: str) -> str:
    """A literal value: per cent signs are doubled; comments would begin at " ;" and " #"."""
    if any(mark in text for mark in (" ;", " #", "\n", "\r")):
        raise QuartetError(f"{text!r} cannot be used: it has a line end, ' ;' or ' #'")
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """One word of a command line, as shlex reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return _plain(f'"{escaped}"')


def _value(text: str) -> str:
    """One value of an environment: supervisord removes the quotes at its ends, and has no escapes."""
    quote = "'" if '"' in text else '"'
    if quote in text or text.strip("'\"") != text:
        raise QuartetError(f"{text!r} cannot be used as a setting: it mixes kinds of quotes")
    return _plain(f"{quote}{text}{quote}")
