"""One request compared with a FastAPI peer: GET one user and POST one user, requests/s per core of the server.

Run `.venv/bin/python bench/peers/compare.py` (needs wrk). It starts PostgreSQL and what else the users service needs,
installs the peer (app.py: FastAPI, uvicorn, asyncpg) from requirements.lock into a folder of its own, and runs the api
of the users service and the peer as one process each on the same tables. Rounds alternate between the two. What is
compared is the requests answered per second of CPU time that the server's process used, so that neither PostgreSQL nor
wrk nor other work counts. The user is an enterprise user of about 3 kB. Both write a line per request into a log;
--bare takes the peer's away.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import psutil

from quartet_cli import catalogue, ports, tenants, tokens
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import USERS
from quartet_testing.limits import WIDE

HERE = Path(__file__).parent
SCOPES = "users:read users:write"
SEEDED = 500
PATIENCE = 30.0
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Server:
    """One of the two: where it answers, and its process."""

    name: str
    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{ports.HOST}:{self.port}"

    def seconds_used(self) -> float:
        """CPU time of the process so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True)
class Round:
    """What wrk saw of one server, and the CPU seconds that the server used for it; p50 and p99 in milliseconds."""

    requests: int
    seconds: float
    used: float
    p50: float
    p99: float

    @property
    def per_core(self) -> float:
        """Requests per second of CPU time."""
        return self.requests / self.used


def install(folder: Path) -> Path:
    """The Python of a virtual environment in `folder` that has what requirements.lock pins; made if it is not there."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        lock = str(HERE / "requirements.lock")
        command = [str(python), "-m", "pip", "install", "-qq", "--require-hashes", "-r", lock]
        subprocess.run(command, check=True)
    return python


@contextmanager
def started(name: str, command: list[str], environment: Mapping[str, str], port: int, log: Path) -> Iterator[Server]:
    """A server process, once it answers, until the end of the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"http://{ports.HOST}:{port}{USERS}/none", trust_env=False)
                break
            except httpx.TransportError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.1)
        yield Server(name, port, psutil.Process(child.pid))
    finally:
        child.terminate()
        child.wait()


def peer_environment(stack: Stack, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of the peer: the users service's database, keys and issuer."""
    password = (stack.home.secrets / "users/quartet_database_password").read_text().strip()
    url = environment["QUARTET_DATABASE_URL"].replace("@", f":{password}@", 1)
    issuer = environment["QUARTET_PUBLIC_URL"]
    return {
        "PATH": environment["PATH"],
        "PEER_DATABASE_URL": url,
        "PEER_JWKS_URL": f"{environment['QUARTET_USERS_URL']}/.well-known/jwks.json",
        "PEER_ISSUER": issuer,
        "PEER_BASE": f"{issuer}/scim/v2",
    }


@contextmanager
def both(home: Path, venv: Path, bare: bool) -> Iterator[tuple[Server, Server, str]]:
    """The users service's api and the peer, running, and a token for both."""
    python = install(venv)
    limits = {**WIDE, "QUARTET_LIMIT_CLIENT": "1000000/1"}  # counted, never reached
    stack = Stack(home, None, extra_environment=limits, temporary=True)
    with ExitStack() as stack_of_blocks:
        stack_of_blocks.callback(remove, stack.home)
        stack_of_blocks.callback(stack.down)
        stack.start_servers()
        environment = stack.environment("users", "api")
        migrate = stack.environment("users", "migrate")
        subprocess.run(catalogue.command("users", "migrate"), check=True, env=migrate, stdout=subprocess.DEVNULL)
        port = int(environment["QUARTET_PORT"])
        api = list(catalogue.command("users", "api"))
        ours = stack_of_blocks.enter_context(started("quartet", api, environment, port, home / "quartet.log"))
        [port] = ports.choose(1, {port})
        command = [str(python), "-m", "uvicorn", "peers.app:app", "--app-dir", str(HERE.parent), "--port", str(port)]
        command += ["--loop", "uvloop", "--http", "httptools", *(["--no-access-log"] if bare else [])]
        variables = peer_environment(stack, environment)
        peer = stack_of_blocks.enter_context(started("peer", command, variables, port, home / "peer.log"))
        yield ours, peer, tenants.token_of(ours.url, "bench", SCOPES, tokens.own_secret(stack.home))


def document() -> bytes:
    """An enterprise user to send, whose userName is filled in by post.lua."""
    sys.path.insert(0, str(HERE.parent))
    from payloads import enterprise_user

    user = orjson.loads(enterprise_user())
    del user["password"]  # hashing it would take longer than all the rest
    return orjson.dumps(user | {"userName": "USERNAME@example.com"})


def seed(server: Server, token: str, sent: bytes, folder: Path) -> None:
    """Create the users that are read, and write their paths down."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        made = [client.post(USERS, content=sent.replace(b"USERNAME", b"seed-%d" % n)) for n in range(SEEDED)]
    paths = [f"{USERS}/{answer.raise_for_status().json()['id']}\n" for answer in made]
    (folder / "paths").write_text("".join(paths))


def check_alike(servers: tuple[Server, Server], token: str, folder: Path) -> None:
    """Both give the same user. Raises AssertionError when they do not."""
    path = (folder / "paths").read_text().partition("\n")[0]
    headers = {"Authorization": f"Bearer {token}"}
    found = [httpx.get(server.url + path, headers=headers, trust_env=False).json() for server in servers]
    for one in found:
        del one["meta"]  # the peer writes times in another precision
    assert found[0] == found[1]


def run_wrk(server: Server, script: str, seconds: float, clients: int, variables: Mapping[str, str]) -> Round:
    """One round of requests."""
    load = ["-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency"]
    command = ["wrk", *load, "-s", str(HERE / script), server.url + USERS]
    before = server.seconds_used()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **variables})
    used = server.seconds_used() - before
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    failed = re.search(r"Socket errors: .*", done.stdout)
    if refused or failed:  # e.g. 503 where PostgreSQL had no connection in time
        print(f"{server.name}: {' '.join(found[0] for found in (refused, failed) if found)}")
    requests, took, unit = re.search(r"(\d+) requests in ([\d.]+)(m?s)", done.stdout).groups()  # type: ignore[union-attr]  # wrk's own line
    percentiles = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", done.stdout))
    p50, p99 = (milliseconds(percentiles[share]) for share in ("50", "99"))
    return Round(int(requests), float(took) * MILLISECONDS[unit] / 1000, used, p50, p99)


def milliseconds(text: str) -> float:
    """wrk's `1.2ms` as a number."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk writes no other
    return float(number) * MILLISECONDS[unit]


def measure(
    servers: tuple[Server, Server], script: str, options: argparse.Namespace, variables: dict[str, str]
) -> None:
    """Alternate between the two, and print a line for each and the ratios ours/peer of the requests per core.

    What else runs on the machine can only add to the time that a request takes, so the best rounds say more than the
    medians where it is not quiet.
    """
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    for server in servers:
        run_wrk(server, script, 2, options.clients, {**variables, "PEER_RUN": f"{server.name}-warm-{time.time_ns()}"})
    for _ in range(options.rounds):
        for server in servers:
            named = {**variables, "PEER_RUN": f"{server.name}-{time.time_ns()}"}
            rounds[server.name].append(run_wrk(server, script, options.seconds, options.clients, named))
    medians, best = [], []
    for name, seen in rounds.items():
        per_core = [one.per_core for one in seen]
        medians.append(statistics.median(per_core))
        best.append(max(per_core))
        rate = statistics.median(one.requests / one.seconds for one in seen)
        p50, p99 = (statistics.median(getattr(one, field) for one in seen) for field in ("p50", "p99"))
        spread = f"{min(per_core):.0f} to {max(per_core):.0f}"
        what = script.removesuffix(".lua").upper()
        print(f"{what:<6}{name:<10}{medians[-1]:>12.0f}{spread:>18}{rate:>12.0f}{p50:>9.2f}{p99:>9.2f}")
    ratios = f"{medians[0] / medians[1]:>12.2f}{f'best rounds {best[0] / best[1]:.2f}':>18}"
    print(f"{script.removesuffix('.lua').upper():<6}{'ratio':<10}{ratios}", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="One request compared with a FastAPI peer.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bare", action="store_true", help="the peer logs no requests")
    parser.add_argument("--venv", type=Path, help="where the peer is installed and kept; a temporary folder otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as folder:
        home, sent = Path(folder) / "home", document()
        (Path(folder) / "document").write_bytes(sent)
        home.mkdir()
        with both(home, options.venv or Path(folder) / "venv", options.bare) as (ours, peer, token):
            variables = {
                "PEER_TOKEN": token,
                "PEER_DOCUMENT": f"{folder}/document",
                "PEER_PATHS": f"{folder}/paths",
            }
            seed(ours, token, sent, Path(folder))
            check_alike((ours, peer), token, Path(folder))
            print(f"{'':<6}{'':<10}{'req/s a core':>12}{'min to max':>18}{'req/s':>12}{'p50 ms':>9}{'p99 ms':>9}")
            for script in ("get.lua", "post.lua"):
                measure((ours, peer), script, options, variables)


if __name__ == "__main__":
    main()
