"""Processes: reads and writes a second through the proxy with 1, 2 and 4 apis of users.

Run `.venv/bin/python bench/processes.py [SECONDS] [NUMBER...]`; it needs wrk, and makes a stack of its own for each
number. The clients, the proxy, PostgreSQL and the apis share the cores of the machine: the ratios are lower bounds.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from quartet_cli import instances
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE

CONNECTIONS = 32
WRITE = """
local number = 0
function setup(thread) thread:set("id", tostring(thread)) end
request = function()
  number = number + 1
  local name = string.format("%s-%d-%d", id:gsub("%W", ""), number, os.time())
  local schema = "urn:ietf:params:scim:schemas:core:2.0:User"
  return wrk.format("POST", nil, nil, string.format('{"schemas": ["%s"], "userName": "%s"}', schema, name))
end
"""


def load(url: str, token: str, seconds: int, script: Path | None = None) -> tuple[float, int]:
    """Requests a second, and the number of responses that were not 2xx."""
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Authorization: Bearer {token}"]
    command += ["-H", "Content-Type: application/scim+json", *(["-s", str(script)] if script else []), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, failed = re.search(r"Requests/sec:\s+(\S+)", text), re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    assert rate is not None, text
    return float(rate[1]), int(failed[1]) if failed else 0


def cpu_seconds(stack: Stack) -> float:
    """The CPU time of all apis of users."""
    names = instances.of(stack.state.ports, "users", "api")
    times = [psutil.Process(pids(stack)[name]).cpu_times() for name in names]
    return sum(one.user + one.system for one in times)


async def measure(stack: Stack, number: int, seconds: int) -> None:
    """Print a line for reads and one for writes."""
    token = await asyncio.to_thread(stack.token)
    async with Api(stack.url, token) as api:
        user = await api.create_user()
    script = stack.home.run / "write.lua"
    script.write_text(WRITE)
    for name, path, lua in (("reads", f"{USERS}/{user['id']}", None), ("writes", USERS, script)):
        load(f"{stack.url}{path}", token, 2, lua)  # opens connections and pools
        before = cpu_seconds(stack)
        rate, failed = load(f"{stack.url}{path}", token, seconds, lua)
        cores = (cpu_seconds(stack) - before) / seconds
        print(f"{number} apis, {name}: {rate:,.0f}/s, {failed} failed, {cores:.2f} cores of the apis", flush=True)


def main() -> None:
    """Measure with each number of apis."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for number in map(int, sys.argv[2:] or ["1", "2", "4"]):
        with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
            settings = {**WIDE, instances.setting("users"): str(number)}
            stack = Stack(Path(home), extra_environment=settings, temporary=True)
            try:
                stack.up()
                asyncio.run(measure(stack, number, seconds))
            finally:
                stack.down()
                remove(stack.home)


if __name__ == "__main__":
    main()
