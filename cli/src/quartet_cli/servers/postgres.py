"""The private PostgreSQL: its cluster, its configuration, and the roles and schemas of the services."""

import os
import subprocess
from pathlib import Path

from quartet_cli.accounts import is_root, postgres_user
from quartet_cli.binaries import Binaries
from quartet_cli.errors import ProcessFailedError
from quartet_cli.layout import CHECKOUT, Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program
from quartet_cli.servers.files import write_private

HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"


def program(binaries: Binaries, data: Path, port: int) -> Program:
    """PostgreSQL in the foreground; INT is its fast shutdown (roll back, checkpoint, end)."""
    ask = [str(binaries.postgres / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-d", "postgres"]

    def check() -> str | None:
        done = subprocess.run(ask, check=False, capture_output=True, env={"PATH": "/usr/bin:/bin"}, cwd="/")
        return None if done.returncode == 0 else f"port {port}: not accepting connections"

    return Program(
        name="postgres",
        command=(str(binaries.postgres / "postgres"), "-D", str(data)),
        directory=data,
        url=f"postgresql://{HOST}:{port}/quartet",
        environment={"LANG": "C.UTF-8", "HOME": str(data)},
        user="postgres" if is_root() else None,
        stop_signal="INT",
        stop_seconds=60,
        check=check,
    )


def prepare(home: Home, binaries: Binaries, data: Path, port: int, connections: int) -> None:
    """Create the cluster if it does not exist and write its configuration; needs no running server.

    `connections` is the number that it accepts.
    """
    data.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    data.mkdir(exist_ok=True, mode=0o700)
    if is_root():
        account = postgres_user()
        os.chown(data, account.pw_uid, account.pw_gid)
    if not (data / "quartet-made").exists():
        _make_cluster(home, binaries, data)
    write_private(data / "postgresql.conf", _configuration(port, connections), owner_of=data)
    write_private(data / "pg_hba.conf", HBA, owner_of=data)


def _configuration(port: int, connections: int) -> str:
    settings = {
        "listen_addresses": f"'{HOST}'",
        "port": str(port),
        "unix_socket_directories": "''",
        "max_connections": str(connections),
        "shared_buffers": "128MB",
        "password_encryption": "'scram-sha-256'",  # the name of a method
        "log_line_prefix": "'%m [%p] %q%u@%d '",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
        "max_wal_size": "1GB",
        "autovacuum_naptime": "10s",  # after an erasure, what was removed is in dead rows until then
    }
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return (
        f"# Written by ./quartet up at each start; lasting changes go to postgresql.auto.conf (ALTER SYSTEM).\n{lines}"
    )


def _make_cluster(home: Home, binaries: Binaries, data: Path) -> None:
    """Run initdb, then write a mark; a cluster without the mark is incomplete and created again."""
    for left in data.iterdir():
        subprocess.run(["rm", "-rf", str(left)], check=True)
    password = data.parent / f".{data.name}.password"
    write_private(password, (home.secrets / "postgres/password").read_text() + "\n", owner_of=data)
    command = [str(binaries.postgres / "initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={password}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    try:
        done = run_as_owner(command, data)
    finally:
        password.unlink()
    if done.returncode != 0:
        raise ProcessFailedError("postgres", "initdb could not make the cluster", done.stdout.splitlines()[-20:])
    write_private(data / "quartet-made", "", owner_of=data)


def run_as_owner(command: list[str], data: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as the owner of `data`: `postgres` if root runs the stack, else the caller."""
    account = data.stat()
    as_root = is_root()
    return subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=data,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        user=account.st_uid if as_root else None,
        group=account.st_gid if as_root else None,
        extra_groups=[] if as_root else None,
    )


def make_roles(home: Home, binaries: Binaries, port: int) -> None:
    """Create database, roles and schemas (deploy/postgres/init.sh); repeated at each start for missing parts."""
    passwords = home.run / "pgpass"
    write_private(passwords, f"{HOST}:{port}:*:postgres:{(home.secrets / 'postgres/password').read_text()}\n")
    environment = {
        "PATH": f"{binaries.postgres}:/usr/bin:/bin",
        "PGHOST": HOST,
        "PGPORT": str(port),
        "PGPASSFILE": str(passwords),
        "PGCONNECT_TIMEOUT": "10",
        "QUARTET_SECRETS_ROOT": str(home.secrets),
        "LANG": "C.UTF-8",
    }
    script = ["/bin/sh", str(CHECKOUT / "deploy/postgres/init.sh")]
    done = subprocess.run(
        script, check=False, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise ProcessFailedError("postgres", "roles and schemas could not be made", done.stderr.splitlines()[-20:])
