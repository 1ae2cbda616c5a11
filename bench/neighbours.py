"""Neighbours: what one tenant notices of attacks by another tenant and by clients without a token.

Run `.venv/bin/python bench/neighbours.py [--before CHECKOUT] [--seconds N] [ATTACK...]`. It starts a stack of this
checkout, and one of the checkout of an earlier commit, each with its default settings, and removes them. Each attack
runs against one stack after the other, on an api of users that has just been started, so that both figures are of one
run on one machine. Meanwhile the tenant "neighbour" reads one of its users 80 times a second through the proxy, at
fixed times: a read counts from the time at which it was due, also where the one before it took too long. It also logs
in once a second in `quiet` and `passwords`. Printed per attack and stack: reads, their p50, p99 and maximum in ms;
answers other than 200 and reads that failed or took over 10 s; the largest resident memory of the api of users during
the attack and 5 s after it, in MB; the statuses that the attacker saw.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from neighbour_attacks import ATTACKS, USER_SCHEMA

from quartet_cli import ports
from quartet_cli.layout import CHECKOUT
from quartet_testing.plain import PlainClient

ATTACKER, VICTIM = "attacker", "neighbour"
PASSWORD = "seven lamps over the quiet harbour"  # noqa: S105  # nosec B105  # of a user that is made for this
READERS, INTERVAL = 4, 0.05
TIMEOUT = 10.0
SMALL_USERS, SMALL_BYTES = 10_000, 2_800
SEARCHED_USERS = 3_000
LARGE_SIZES = (7_900_000, 500_000)
"""Bytes of a large user: the first that the stack accepts is used."""
LARGE_PAGE = 16_000_000
"""Bytes of all large users together."""
REST = 5.0
"""Seconds after an attack until memory is looked at again."""


@dataclass
class Server:
    """A running stack: its checkout, where it answers, the process id of its api of users, and the user to read."""

    name: str
    checkout: Path
    environment: dict[str, str]
    url: str
    api: int = 0
    path: str = ""

    def quartet(self, *words: str) -> str:
        """The output of a `quartet` command of this checkout."""
        command = [str(self.checkout / "quartet"), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=self.environment)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} of {self.name} failed: {done.stderr[-2000:]}")
        return done.stdout

    def token(self, tenant: str) -> str:
        """A token for `tenant`."""
        return self.quartet("token", "--tenant", tenant).strip()

    def restart(self) -> None:
        """Start the api of users anew: an attack does not begin with what the one before it has left."""
        self.quartet("restart", "users-api")
        rows = json.loads(self.quartet("status", "--json"))
        self.api = next(row["pid"] for row in rows if row["name"] == "users-api")

    def memory(self) -> float:
        """Resident memory of the api of users, in MB; 0 where it has ended."""
        with suppress(psutil.NoSuchProcess):
            return float(psutil.Process(self.api).memory_info().rss) / 1e6
        return 0.0


@dataclass
class Seen:
    """What the neighbour and the attacker saw; seconds of each read and login."""

    reads: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    logins: list[float] = field(default_factory=list)
    refused_logins: Counter[int] = field(default_factory=Counter)
    largest: float = 0.0
    after: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)


@contextmanager
def running(name: str, checkout: Path, home: Path) -> Iterator[Server]:
    """A stack of `checkout` with its default settings."""
    [port] = ports.choose(1, set())
    kept = {key: value for key, value in os.environ.items() if not key.startswith("QUARTET_")}
    environment = {**kept, "QUARTET_HOME": str(home), "QUARTET_PORT": str(port)}
    server = Server(name, checkout, environment, f"http://127.0.0.1:{port}")
    try:
        server.quartet("up")
        seed(server)
        yield server
    finally:
        server.quartet("reset", "--yes")


def seed(server: Server) -> None:
    """Create both tenants and their users."""
    for tenant in (ATTACKER, VICTIM):
        server.quartet("tenant", "create", tenant)
    with client(server, VICTIM) as http:
        sent = {"schemas": [USER_SCHEMA], "userName": "neighbour", "password": PASSWORD}
        server.path = f"/scim/v2/Users/{http.post('/scim/v2/Users', json=sent).raise_for_status().json()['id']}"
    with client(server, ATTACKER) as http:
        for first in range(0, SMALL_USERS, 500):
            create(http, [user(number, SMALL_BYTES) for number in range(first, first + 500)])
        for size in LARGE_SIZES:
            large = [user(n, size) | {"userName": f"large-{n}", "userType": "large"} for n in range(LARGE_PAGE // size)]
            if all(http.post("/scim/v2/Users", json=one).status_code == 201 for one in large):
                break


def client(server: Server, tenant: str) -> httpx.Client:
    """A SCIM client of one tenant."""
    headers = {"Authorization": f"Bearer {server.token(tenant)}", "Content-Type": "application/scim+json"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False)


def user(number: int, size: int) -> dict[str, object]:
    """A user whose document has about `size` bytes; the first SEARCHED_USERS have a nickname to search in."""
    nickname = {"nickName": f"nick {number}"} if number < SEARCHED_USERS else {}
    return {"schemas": [USER_SCHEMA], "userName": f"user-{number}", "title": "t" * (size - 300), **nickname}


def create(http: httpx.Client, users: list[dict[str, object]]) -> None:
    """Create users by one Bulk. Raises AssertionError where one is refused."""
    operations = [{"method": "POST", "path": "/Users", "bulkId": str(n), "data": one} for n, one in enumerate(users)]
    sent = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations}
    answer = http.post("/scim/v2/Bulk", json=sent).raise_for_status()
    assert answer.text.count('"status":"201"') == len(users), answer.text[:500]


async def read(server: Server, token: str, first: float, until: float, seen: Seen) -> None:
    """Read one user at fixed times; seconds count from the time at which a read was due."""
    due, plain = first, None
    while due < until:
        await asyncio.sleep(due - time.perf_counter())
        try:
            async with asyncio.timeout(TIMEOUT):
                if plain is None:
                    plain = await PlainClient(server.url, token).__aenter__()
                status, _ = await plain.get(server.path)
            if status != 200:
                seen.failures[str(status)] += 1
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            seen.failures[type(error).__name__] += 1
            plain = None
        seen.reads.append(time.perf_counter() - due)
        due += INTERVAL * max(1, int((time.perf_counter() - due) / INTERVAL))


async def log_in(server: Server, until: float, seen: Seen) -> None:
    """Log in once a second."""
    sent = {"tenant": VICTIM, "user_name": "neighbour", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=server.url, timeout=TIMEOUT, trust_env=False) as http:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            try:
                status = (await http.post("/users/login", json=sent)).status_code
            except httpx.HTTPError:
                status = 0
            if status == 200:
                seen.logins.append(time.perf_counter() - begun)
            else:
                seen.refused_logins[status] += 1
            await asyncio.sleep(max(0.0, 1 - (time.perf_counter() - begun)))


async def watch(server: Server, until: float, seen: Seen) -> None:
    """Look at the memory of the apis."""
    while time.perf_counter() < until:
        seen.largest = max(seen.largest, server.memory())
        await asyncio.sleep(0.1)


async def measure(server: Server, attack: str, seconds: float) -> Seen:
    """One attack on one stack."""
    seen, tokens = Seen(), [await asyncio.to_thread(server.token, tenant) for tenant in (ATTACKER, VICTIM)]
    script = str(Path(__file__).with_name("neighbour_attacks.py"))
    child = None
    if attack != "quiet":
        words = (script, attack, server.url, tokens[0], str(seconds + 1))
        child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=subprocess.PIPE)
    begun = time.perf_counter() + 1  # the attack has begun by then
    until = begun + seconds
    work = [read(server, tokens[1], begun + n * INTERVAL / READERS, until, seen) for n in range(READERS)]
    work += [watch(server, until, seen)] + ([log_in(server, until, seen)] if attack in ("passwords", "quiet") else [])
    await asyncio.gather(*work)
    if child is not None:
        output, _ = await child.communicate()
        seen.answers = json.loads(output or b"{}")
    await asyncio.sleep(REST)
    seen.after = server.memory()
    return seen


def row(attack: str, server: Server, seen: Seen) -> None:
    """Print one line."""
    reads = sorted(seen.reads)
    p50, p99, last = (reads[min(len(reads) - 1, int(len(reads) * share))] * 1000 for share in (0.5, 0.99, 1))
    bad = " ".join(f"{name}:{number}" for name, number in seen.failures.items()) or "-"
    figures = f"{len(reads):>6}{p50:>8.1f}{p99:>9.1f}{last:>9.0f}  {bad:<22}{seen.largest:>7.0f}{seen.after:>7.0f}"
    print(f"{attack:<17}{server.name:<8}{figures}  {json.dumps(seen.answers)}", flush=True)
    if seen.logins or seen.refused_logins:
        waits = sorted(seen.logins) or [0.0]
        refused = dict(seen.refused_logins)
        slowest = f"{waits[-1] * 1000:.0f} ms"
        print(f"{'':<25}logins: {len(seen.logins)}, slowest {slowest}; refused {refused}", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="What a tenant notices of attacks by others.")
    parser.add_argument("--before", type=Path, help="the checkout of an earlier commit to compare with")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each attack (default: 15)")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of: {', '.join(ATTACKS)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.attacks) - set(ATTACKS)
    if unknown:
        parser.error(f"unknown attack {', '.join(sorted(unknown))}; known: {', '.join(ATTACKS)}")
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as folder:
        checkouts = {"before": arguments.before, "now": CHECKOUT}
        compare(
            {name: one.resolve() for name, one in checkouts.items() if one is not None},
            Path(folder),
            ["quiet", *(arguments.attacks or ATTACKS)],
            arguments.seconds,
        )


def compare(checkouts: dict[str, Path], folder: Path, attacks: list[str], seconds: float) -> None:
    """Run each attack against the stack of each checkout in turn."""
    with ExitStack() as stacks:
        servers = [stacks.enter_context(running(name, one, folder / name)) for name, one in checkouts.items()]
        figures = f"{'reads':>6}{'p50 ms':>8}{'p99 ms':>9}{'max ms':>9}  {'failed':<22}{'RSS':>7}{'after':>7}"
        print(f"{'attack':<17}{'stack':<8}{figures}  attacker's answers", flush=True)
        for attack in attacks:
            for server in servers:
                server.restart()
                row(attack, server, asyncio.run(measure(server, attack, seconds)))


if __name__ == "__main__":
    main()
