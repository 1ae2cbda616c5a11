"""Call paths: which modules of ours a write enters between the first byte of its request and its commit.

Run `.venv/bin/python bench/call_paths.py [--list]`: it starts PostgreSQL, RabbitMQ and Redis, and the apis of users and
groups with a profile hook, and sends POST of a user, a login and a PATCH that adds a known member to a group, REPEATED
times each. It counts the modules that most of them enter in the request's own task: threads and background tasks do
not count. The commit is the last time before the response that a connection goes back to the pool. `--list` prints the
modules and functions in the order of their first call.
"""

import argparse
import atexit
import json
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx

from quartet_cli import catalogue, tenants, tokens
from quartet_cli.layout import CHECKOUT
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, group_document, patch_document, user_document
from quartet_testing.limits import WIDE

SCOPES = "users:read users:write groups:read groups:write"
TENANT = "bench"
PASSWORD = "correct horse battery staple"  # noqa: S105  # nosec B105  # of users that are made for this
REPEATED = 10
PATIENCE = 30.0
STARTS = {
    b"POST /scim/v2/Users ": "POST of a user",
    b"POST /users/login ": "login",
    b"PATCH /scim/v2/Groups/": "PATCH of a group",
}

FIRST_BYTE = "quartet_serving/http1_connection:Connection.data_received"
ROOTS = {"Connection.data_received", "Connection._run", "HttpConnection.handle_request"}
"""The last one is a task of its own where the body arrives after the head."""
CONNECTION_FREE = "asyncpg/pool:Pool.release"
RESPONSE = "quartet_serving/exchange:Exchange._start"
PAUSE = 0.05
"""Seconds between two requests: what follows a commit in the background is over by then."""


class Recorder:
    """A profile hook that writes down the functions of ours that each request enters before its commit."""

    def __init__(self) -> None:
        self._paths: dict[CodeType, str | None] = {}
        self._kind: str | None = None
        self._entered: dict[str, None] = {}
        self._committed: list[str] = []
        self.found: dict[str, list[list[str]]] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """One event of sys.setprofile."""
        if event != "call":
            return
        code = frame.f_code
        if code not in self._paths:
            self._paths[code] = _function(code)
        function = self._paths[code]
        if function is None:
            return
        if function == FIRST_BYTE and self._kind is None:
            data = frame.f_locals["data"]
            self._kind = next((kind for start, kind in STARTS.items() if data.startswith(start)), None)
        if function == CONNECTION_FREE:
            self._committed = list(self._entered)
        elif function == RESPONSE:
            self.finish()
        elif self._kind is not None and function not in self._entered and _is_of_a_request(frame):
            self._entered[function] = None

    def finish(self) -> None:
        """Keep what the request has entered."""
        if self._kind is not None and self._committed:
            self.found.setdefault(self._kind, []).append(self._committed)
        self._kind, self._entered, self._committed = None, {}, []


def _is_of_a_request(frame: FrameType | None) -> bool:
    """Whether a frame runs below the protocol's calls or in the task of a request."""
    while frame is not None:
        if frame.f_code.co_qualname in ROOTS:
            return True
        frame = frame.f_back
    return False


def _function(code: CodeType) -> str | None:
    """`quartet_users/users/user_store:insert_user` for a function of ours; None for others."""
    path = Path(code.co_filename)
    if path.is_relative_to(CHECKOUT) and "src" in path.relative_to(CHECKOUT).parts:
        if code.co_name.startswith("<"):  # a comprehension or lambda is part of its function
            return None
        own = path.relative_to(CHECKOUT).parts
        return f"{'/'.join(own[own.index('src') + 1 :]).removesuffix('.py')}:{code.co_qualname}"
    function = f"{path.parent.name}/{path.stem}:{code.co_qualname}"
    return function if function == CONNECTION_FREE else None


def serve(service: str, output: Path) -> None:
    """Run the api of `service` with the hook; `output` gets what it has seen."""
    recorder = Recorder()

    def write() -> None:
        sys.setprofile(None)
        output.write_text(json.dumps(recorder.found))

    atexit.register(write)
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    sys.argv = [f"quartet_{service}", "api"]
    runpy.run_module(f"quartet_{service}", run_name="__main__")


@contextmanager
def served(stack: Stack, service: str, output: Path) -> Iterator[str]:
    """The URL of an api with the hook, once it answers, until the end of the block."""
    environment = stack.environment(service, "api")
    migrate = catalogue.command(service, "migrate")
    subprocess.run(migrate, check=True, env=stack.environment(service, "migrate"), stdout=subprocess.DEVNULL)
    url = environment[f"QUARTET_{service.upper()}_URL"]
    command = [sys.executable, __file__, "--serve", service, "--output", str(output)]
    log = output.with_suffix(".log")
    with log.open("wb") as lines:
        child = subprocess.Popen(command, env=environment, stdout=lines, stderr=subprocess.STDOUT)
    try:
        _await_answer(url, child, log)
        yield url
    finally:
        child.terminate()
        child.wait()


def _await_answer(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(f"{url}/none", trust_env=False)
            return
        except httpx.TransportError:
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{url} did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def request(users: str, groups: str, headers: Mapping[str, str]) -> None:
    """Send the three writes."""
    with httpx.Client(headers=headers, timeout=PATIENCE, trust_env=False) as client:
        created = [_sent(client, "POST", users + USERS, user_document()) for _ in range(REPEATED + 1)]
        person = _sent(client, "POST", users + USERS, user_document(password=PASSWORD))
        login = {"tenant": TENANT, "user_name": person["userName"], "password": PASSWORD}
        for _ in range(REPEATED + 1):
            _sent(client, "POST", f"{users}/users/login", login)
        ids = [one["id"] for one in created]
        _sent(client, "POST", groups + GROUPS, group_document(ids))  # the groups service knows the users from here on
        group = _sent(client, "POST", groups + GROUPS, group_document())
        for one in ids:
            change = patch_document({"op": "add", "path": "members", "value": [{"value": one}]})
            _sent(client, "PATCH", f"{groups}{GROUPS}/{group['id']}", change)


def _sent(client: httpx.Client, method: str, url: str, document: Mapping[str, Any]) -> dict[str, Any]:
    time.sleep(PAUSE)
    answer = client.request(method, url, json=document)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def measure() -> dict[str, list[str]]:
    """The functions of each kind of write."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        stack = Stack(home / "stack", None, extra_environment=WIDE, temporary=True)
        with ExitStack() as blocks:
            blocks.callback(remove, stack.home)
            blocks.callback(stack.down)
            stack.start_servers()
            users = blocks.enter_context(served(stack, "users", home / "users.json"))
            groups = blocks.enter_context(served(stack, "groups", home / "groups.json"))
            token = tenants.token_of(users, TENANT, SCOPES, tokens.own_secret(stack.home))
            request(users, groups, {"Authorization": f"Bearer {token}"})
            blocks.pop_all().close()
        found = {
            **json.loads((home / "users.json").read_text()),
            **json.loads((home / "groups.json").read_text()),
        }
    return {kind: _common(found[kind][-REPEATED:]) for kind in STARTS.values()}


def _common(paths: list[list[str]]) -> list[str]:
    """The functions that more than half of `paths` have, in the order of their first call."""
    counts = Counter(one for path in paths for one in path)
    return [one for one, count in counts.items() if 2 * count > len(paths)]


def main() -> None:
    """Measure and print, or serve for the one who measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the modules too")
    parser.add_argument("--serve", metavar="SERVICE", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.output)
        return
    for kind, functions in measure().items():
        modules = list(dict.fromkeys(one.partition(":")[0] for one in functions))
        packages = {one.partition("/")[0] for one in modules}
        print(f"{kind}: {len(modules)} modules in {len(packages)} packages, {len(functions)} functions")
        for module in modules if options.list else ():
            names = [one.partition(":")[2] for one in functions if one.partition(":")[0] == module]
            print(f"    {module}: {', '.join(names)}")


if __name__ == "__main__":
    main()
