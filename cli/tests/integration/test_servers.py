"""Real private servers: closed to everybody else, stopped and started one by one, and gone when they are stopped."""

import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from quartet_cli import binaries, health, leftovers, ports, reset
from quartet_cli.errors import ProcessFailedError, QuartetError
from quartet_cli.layout import SERVICES
from quartet_cli.servers import postgres
from quartet_cli.servers.files import write_private
from quartet_cli.stack import Stack
from quartet_cli.status import ProcessStatus
from quartet_cli.supervisor import wait_until

SERVERS = ("postgres", "redis", "epmd", "rabbitmq")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of servers only, in a folder with a space in its name that the user postgres cannot reach."""
    stack = Stack(tmp_path_factory.mktemp("a closed home"), temporary=True)
    stack.start_servers()
    yield stack
    stack.down()
    reset.remove(stack.home)


def processes(stack: Stack) -> list[psutil.Process]:
    """supervisord and everything below it."""
    top = psutil.Process(stack.supervisor.pid())
    return [top, *top.children(recursive=True)]


def sql(stack: Stack, role: str, statement: str, password_of: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a statement as a service's role, or as that of the exporter."""
    file = "postgres-exporter/password" if role == "exporter" else f"{password_of or role}/quartet_database_password"
    secret = (stack.home.secrets / file).read_text()
    url = f"postgresql://quartet_{role}@127.0.0.1:{stack.state.ports['postgres']}/quartet"
    command = [str(binaries.find().postgres / "psql"), "-X", "-A", "-t", "-c", statement, url]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"PGPASSWORD": secret})


def pids(stack: Stack) -> dict[str, int | None]:
    return {process.name: process.pid for process in stack.status() if process.name in SERVERS}


def test_all_servers_are_healthy_and_say_where_they_are(stack: Stack) -> None:
    found = {process.name: process for process in stack.status()}
    assert all(found[name].healthy for name in SERVERS)
    assert found["redis"].url == f"redis://127.0.0.1:{stack.state.ports['redis']}/0"
    assert found["users-api"].state == "stopped"


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    before = pids(stack)
    stack.start_servers()
    assert pids(stack) == before


OWNERS = {service: service for service in SERVICES} | {"audit": "audit_owner"}
"""The role that owns the tables of each service, without its prefix."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_role_works_in_its_own_schema(stack: Stack, service: str) -> None:
    owner = OWNERS[service]
    statements = "CREATE TABLE here (a int); SELECT current_schema(); DROP TABLE here"
    made = sql(stack, owner, statements, password_of=owner.replace("_", "-"))
    assert (made.returncode, made.stdout.split()) == (0, ["CREATE", "TABLE", service, "DROP", "TABLE"])


def test_the_role_that_serves_audit_makes_no_tables_and_does_not_have_the_password_of_the_owner(stack: Stack) -> None:
    assert "permission denied for schema audit" in sql(stack, "audit", "CREATE TABLE here (a int)").stderr
    assert sql(stack, "audit", "SELECT current_schema()").stdout.strip() == "audit"
    assert "permission denied to set role" in sql(stack, "audit", "SET ROLE quartet_audit_owner").stderr
    refused = sql(stack, "audit_owner", "SELECT 1", password_of="audit")
    assert "password authentication failed" in refused.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_role_is_shut_out_of_every_other_schema(stack: Stack, service: str) -> None:
    for other in (*(each for each in SERVICES if each != service), "public"):
        refused = sql(stack, service, f"CREATE TABLE {other}.mine (a int)")
        assert "permission denied for schema" in refused.stderr


def test_only_the_roles_of_services_can_connect(stack: Stack) -> None:
    granted = "SELECT DISTINCT grantee::regrole FROM pg_database, aclexplode(datacl) WHERE datname = 'quartet'"
    assert set(sql(stack, "users", granted).stdout.split()) == {
        *("postgres", "quartet_audit_owner", "quartet_exporter"),
        *(f"quartet_{service}" for service in SERVICES),
    }
    assert sql(stack, "users", "SELECT has_schema_privilege('public', 'USAGE')").stdout.strip() == "f"


def test_a_role_cannot_make_schemas_or_databases_or_read_another_database(stack: Stack) -> None:
    assert "permission denied" in sql(stack, "users", "CREATE SCHEMA mine").stderr
    assert "permission denied" in sql(stack, "users", "CREATE DATABASE mine").stderr
    assert "permission denied for database" in sql(stack, "users", "\\c postgres").stderr


def test_the_password_of_one_role_does_not_open_another(stack: Stack) -> None:
    assert "password authentication failed" in sql(stack, "users", "SELECT 1", password_of="groups").stderr


def test_redis_refuses_who_has_no_password(stack: Stack) -> None:
    refused = health.redis_ready(stack.state.ports["redis"], "wrong")
    assert refused is not None
    assert "WRONGPASS" in refused


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = [
        connection.laddr.ip
        for process in processes(stack)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]
    assert len(listening) >= 5
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_no_secret_is_on_a_command_line_or_in_a_log(stack: Stack) -> None:
    secrets = {path.read_text().strip() for path in stack.home.secrets.rglob("*password") if path.is_file()}
    shown = [" ".join(process.cmdline()) for process in processes(stack)]
    shown += [path.read_text(errors="replace") for path in stack.home.logs.glob("*.log")]
    assert len(secrets) >= 7
    assert not [secret for secret in secrets if any(secret in text for text in shown)]


def test_files_with_secrets_are_closed_to_others(stack: Stack) -> None:
    written = (stack.home.run / name for name in ("pgpass", "scrape.json"))
    files = [*stack.home.run.rglob("*.conf"), *stack.home.secrets.rglob("*"), *written]
    assert {path.stat().st_mode & 0o037 for path in files if path.is_file()} == {0}
    readable = {path.parent.name for path in files if path.is_file() and path.stat().st_mode & 0o040}
    by_the_group = {*SERVICES, "audit-owner", "prometheus"}  # of the account of the processes
    assert readable == (by_the_group if os.getuid() == 0 else set())


def test_the_engine_starts_where_it_is_needed_with_a_password_and_on_loopback(stack: Stack) -> None:
    if "victoria-metrics" not in stack.programs:
        pytest.skip("victoria-metrics is not installed")
    assert {process.name: process.state for process in stack.status()}["victoria-metrics"] == "stopped"
    stack.start("victoria-metrics")
    url = stack.environment("metrics", "api")["QUARTET_METRICS_ENGINE_URL"]
    password = stack.home.secrets / "metrics/quartet_metrics_engine_password"
    found = {process.name: process for process in stack.status()}["victoria-metrics"]
    assert (found.state, found.url) == ("running", url)
    credentials = base64.b64encode(f"quartet:{password.read_text()}".encode()).decode()
    asked = f"{url}/api/v1/query"
    assert health.fetch(asked)[0] == 401
    assert health.fetch(asked, {"Authorization": f"Basic {credentials}"})[0] == 422
    assert not [line for line in (psutil.Process(found.pid).cmdline()) if password.read_text() in line]
    assert psutil.Process(found.pid).memory_info().rss < 80e6
    assert (stack.home.data / "victoria-metrics/data").is_dir()
    stack.stop("victoria-metrics")


EXPORTERS = ("postgres-exporter", "redis-exporter")


@pytest.fixture
def exporters(stack: Stack) -> Iterator[dict[str, ProcessStatus]]:
    """The exporters, started."""
    if not {*EXPORTERS} <= {*stack.programs}:
        pytest.skip("the exporters are not installed")
    for name in EXPORTERS:
        stack.start(name)
    yield {one.name: one for one in stack.status() if one.name in EXPORTERS}
    for name in EXPORTERS:
        stack.stop(name)


def test_the_exporters_are_small_and_show_their_servers(stack: Stack, exporters: dict[str, ProcessStatus]) -> None:
    for name, shown in (("postgres-exporter", "\npg_up 1\n"), ("redis-exporter", "\nredis_up 1\n")):
        assert shown in health.fetch(f"{exporters[name].url}/metrics")[1].decode()
        process = psutil.Process(exporters[name].pid)
        assert process.memory_info().rss < 30e6
        assert (stack.home.secrets / name / "password").read_text() not in " ".join(process.cmdline())


def test_the_account_of_the_exporter_of_postgresql_reads_statistics_and_no_table(stack: Stack) -> None:
    sql(stack, "users", "CREATE TABLE mine (a int)")
    assert "permission denied for schema users" in sql(stack, "exporter", "SELECT * FROM users.mine").stderr
    assert "permission denied" in sql(stack, "exporter", "CREATE TABLE users.own (a int)").stderr
    assert sql(stack, "exporter", "SELECT count(*) > 0 FROM pg_stat_activity").stdout.strip() == "t"
    sql(stack, "users", "DROP TABLE mine")


def test_the_account_of_the_exporter_of_redis_reads_no_keys(stack: Stack) -> None:
    address = ("127.0.0.1", stack.state.ports["redis"])
    password = (stack.home.secrets / "redis-exporter/password").read_text()
    with socket.create_connection(address, timeout=5) as connection, connection.makefile("r") as answers:
        connection.sendall(f"AUTH quartet_exporter {password}\r\nGET a\r\nKEYS *\r\nFLUSHALL\r\n".encode())
        assert answers.readline() == "+OK\n"
        assert [answers.readline().partition(" ")[0] for _ in range(3)] == ["-NOPERM"] * 3


def test_another_engine_takes_the_place_of_the_private_one(stack: Stack) -> None:
    other = Stack(stack.home.path, extra_environment={"QUARTET_METRICS_ENGINE_URL": "https://metrics.example.com"})
    assert not {"victoria-metrics", *EXPORTERS} & {*other.programs}
    assert other.environment("metrics", "worker")["QUARTET_METRICS_ENGINE_URL"] == "https://metrics.example.com"


def test_a_server_is_stopped_and_started_by_name(stack: Stack) -> None:
    stack.stop("redis")
    assert ports.is_free(stack.state.ports["redis"])
    stack.start("redis")
    assert health.redis_ready(stack.state.ports["redis"], (stack.home.secrets / "redis/password").read_text()) is None


def test_a_server_that_is_killed_comes_back_with_its_data(stack: Stack) -> None:
    sql(stack, "users", "CREATE TABLE kept (a int); INSERT INTO kept VALUES (7)")
    before = pids(stack)["postgres"]
    stack.kill("postgres")
    wait_until(lambda: pids(stack)["postgres"] not in (None, before), 20, "postgres did not come back")
    wait_until(lambda: sql(stack, "users", "SELECT 1").returncode == 0, 30, "postgres did not recover")
    assert sql(stack, "users", "SELECT a FROM kept").stdout.strip() == "7"


def test_an_unknown_process_is_named_with_the_ones_there_are(stack: Stack) -> None:
    with pytest.raises(QuartetError, match=r"No such process: postgre\. The processes are: postgres, redis"):
        stack.stop("postgre")


def test_down_leaves_no_process_and_the_next_start_has_the_same_ports_and_data(stack: Stack) -> None:
    before, kept = processes(stack), dict(stack.state.ports)
    sql(stack, "users", "CREATE TABLE survives (a int)")
    assert stack.down()
    assert not [process for process in before if process.is_running()]
    assert leftovers.find(stack.home, Path(stack.state.postgres_data)) == []
    assert not stack.down()
    stack.start_servers()
    assert stack.state.ports == kept
    assert sql(stack, "users", "SELECT count(*) FROM survives").stdout.strip() == "0"


@pytest.mark.slow
def test_a_start_after_the_supervisor_was_killed_ends_what_it_left_behind(stack: Stack) -> None:
    left = processes(stack)
    left[0].kill()
    wait_until(lambda: not stack.is_running(), 10, "supervisord survived")
    stack.start_servers()
    assert not [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert all(process.healthy for process in stack.status() if process.name in SERVERS)


def test_a_stored_port_that_is_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    taken = ports.choose(1, set())[0]
    stack = Stack(tmp_path / "home", services=())
    stack.state.complete(("postgres", "redis", "epmd", "rabbitmq", "rabbitmq-distribution", "proxy"))
    stack.state.ports["redis"] = taken
    stack.home.path.mkdir()
    stack.state.save(stack.home.state_file)
    with (
        socket.create_server((ports.HOST, taken)),
        pytest.raises(QuartetError, match=rf"Port {taken} \(redis\) is in use by process"),
    ):
        stack.up()
    assert not stack.is_running()


def test_a_start_that_fails_names_the_part_shows_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home", services=("nobody",), temporary=True)
    reports: list[tuple[str, str]] = []
    with pytest.raises(ProcessFailedError, match="nobody-migrate failed: exit code 1") as caught:
        stack.up(lambda part, state: reports.append((part, state)))
    assert "No module named" in caught.value.log[-1]
    assert ("rabbitmq", "starting") in reports
    assert not stack.is_running()
    assert leftovers.find(stack.home, Path(stack.state.postgres_data)) == []
    reset.remove(stack.home)


def test_a_cluster_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home", services=())
    stack.home.prepare()
    data = stack.home.postgres_data
    (stack.home.secrets / "postgres").mkdir()
    write_private(stack.home.secrets / "postgres/password", "example")
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("7\n")
    try:
        postgres.prepare(stack.home, binaries.find(), data, 20000, 200)
        assert int((data / "PG_VERSION").read_text()) >= 15
        assert (data / "quartet-made").exists()
    finally:
        shutil.rmtree(data)


def test_no_server_runs_as_root(stack: Stack) -> None:
    owners = {process.name(): process.uids().effective for process in processes(stack)[1:]}
    assert owners.keys() >= {"postgres", "redis-server", "epmd", "beam.smp"}
    assert 0 not in owners.values(), owners
