"""Logs: one JSON object a line, with names, and without secrets."""

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from quartet_common.auth import opaque_tokens
from quartet_common.telemetry.logs import (
    HIDDEN,
    MAX_LINES,
    MAX_VALUE,
    LineBatches,
    add_context,
    begin_context,
    configure_logs,
    hide_secrets,
)
from quartet_testing.conditions import eventually


@pytest.fixture
def root() -> Iterator[None]:
    """Puts logging back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers, logger.level = handlers, level


def hidden(**event: Any) -> dict[str, Any]:
    return hide_secrets(event)


@pytest.mark.parametrize(
    "name",
    ["password", "database_password", "Authorization", "client_secret", "access_token", "Set-Cookie", "private_key",
     "master_key", "credentials"],
)  # fmt: skip
def test_a_value_whose_name_tells_of_a_secret_is_hidden(name: str) -> None:
    assert hidden(**{name: "t1meMa$heen"}) == {name: HIDDEN}


def test_a_secret_is_hidden_however_deep_it_lies() -> None:
    shown = hidden(data={"user": {"userName": "bjensen", "password": "t1meMa$heen"}, "list": [{"token": "abc"}]})
    assert shown == {"data": {"user": {"userName": "bjensen", "password": HIDDEN}, "list": [{"token": HIDDEN}]}}


def test_other_values_are_shown() -> None:
    assert hidden(event="request", status=200, path="/users") == {"event": "request", "status": 200, "path": "/users"}


def test_a_long_value_is_cut_so_that_no_whole_body_is_logged() -> None:
    assert hidden(body="x" * (MAX_VALUE + 1)) == {"body": "x" * MAX_VALUE}
    assert hidden(body=b"x" * (MAX_VALUE + 1)) == {"body": b"x" * MAX_VALUE}


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [text] = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_says_which_process_wrote_it_what_and_when(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "INFO")
    logging.getLogger("anything").warning("it happened", extra={"status": 503, "client_secret": "abc"})
    shown = line(capsys)
    assert shown.pop("time").endswith("Z")
    assert shown == {
        "service": "users",
        "process": "api",
        "event": "it happened",
        "level": "warning",
        "status": 503,
        "client_secret": HIDDEN,
    }


def test_tenant_actor_and_trace_are_on_every_line_of_a_request(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "INFO")
    tracer = TracerProvider().get_tracer("test")

    def request() -> None:
        begin_context(request_id="one")
        add_context(tenant="default", actor="scim-client")
        logging.getLogger("anything").info("inside")

    with tracer.start_as_current_span("request") as span:
        copy_context().run(request)
    shown = line(capsys)
    assert (shown["request_id"], shown["tenant"], shown["actor"]) == ("one", "default", "scim-client")
    assert shown["trace_id"] == format(span.get_span_context().trace_id, "032x")


def test_a_request_begins_without_what_the_one_before_has_left(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "INFO")

    def requests() -> None:
        begin_context(request_id="one")
        add_context(tenant="acme")
        begin_context(request_id="two")
        logging.getLogger("anything").info("inside")

    copy_context().run(requests)
    assert line(capsys).keys() == {"service", "process", "event", "request_id", "level", "time"}


def test_an_exception_is_one_line_too(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "INFO")
    try:
        raise ValueError("a bug")
    except ValueError:
        logging.getLogger("anything").exception("it failed")
    shown = line(capsys)
    assert shown["event"] == "it failed"
    assert "ValueError: a bug" in shown["exception"]


def test_what_is_below_the_level_is_not_written(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "WARNING")
    logging.getLogger("anything").info("quiet")
    assert capsys.readouterr().out == ""


def test_values_that_json_does_not_know_are_written_as_text(root: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("users", "api", "INFO")
    logging.getLogger("anything").info("odd", extra={"what": {1: {2}}, "text": "\ud800"})
    assert line(capsys)["event"] == "odd"


def test_a_token_in_an_address_is_hidden_wherever_it_stands() -> None:
    for prefix in (opaque_tokens.SCIM_TOKEN, opaque_tokens.REFRESH_TOKEN, opaque_tokens.CLIENT_SECRET):
        token = opaque_tokens.make(prefix, "acme-1")
        assert opaque_tokens.hide(f"/users/{token}/x") == "/users/(hidden)/x"
    assert opaque_tokens.hide("/users/quartet_scimitar") == "/users/quartet_scimitar"


class Writes(io.StringIO):
    """A stream that keeps what each call has written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return len(text)


@pytest.fixture
def batches(root: None) -> Writes:
    """What is written when everything is logged by lines that are their messages."""
    writes = Writes()
    logging.getLogger().handlers = [LineBatches(writes)]
    logging.getLogger().setLevel("INFO")
    return writes


async def test_lines_of_one_moment_are_written_by_one_call(batches: Writes) -> None:
    for number in range(3):
        logging.getLogger("anything").info("%s", number)
    assert batches.calls == []

    async def written() -> bool:
        return bool(batches.calls)

    await eventually(written, "the lines to be written")
    assert batches.calls == ["0\n1\n2\n"]
    logging.getLogger("anything").info("next")

    async def next_written() -> bool:
        return batches.calls[1:] == ["next\n"]

    await eventually(next_written, "the next batch")


async def test_an_error_is_written_at_once_after_the_lines_before_it(batches: Writes) -> None:
    logging.getLogger("anything").info("before")
    logging.getLogger("anything").error("error")
    assert batches.calls == ["before\nerror\n"]


async def test_no_more_than_so_many_lines_wait(batches: Writes) -> None:
    for number in range(MAX_LINES):
        logging.getLogger("anything").info("%s", number)
    assert [call.count("\n") for call in batches.calls] == [MAX_LINES]


async def test_a_line_of_a_thread_is_written_at_once_and_in_order(batches: Writes) -> None:
    logging.getLogger("anything").info("loop")
    thread = threading.Thread(target=lambda: logging.getLogger("anything").info("thread"))
    thread.start()
    thread.join()
    assert batches.calls == ["loop\nthread\n"]


def test_a_loop_that_ended_before_its_lines_were_written_leaves_them_to_the_next(batches: Writes) -> None:
    async def first() -> None:
        logging.getLogger("anything").info("first")

    async def second() -> None:
        logging.getLogger("anything").info("second")
        await eventually(written, "the lines to be written")

    async def written() -> bool:
        return bool(batches.calls)

    asyncio.run(first())
    asyncio.run(second())
    assert "".join(batches.calls) == "first\nsecond\n"


def test_without_a_loop_each_line_is_written_at_once(batches: Writes) -> None:
    logging.getLogger("anything").info("one")
    assert batches.calls == ["one\n"]


PROCESS = """
import asyncio, logging, os, sys
from quartet_common.telemetry.logs import configure_logs
configure_logs("users", "api", "INFO")
async def main():
    for number in range(50):
        logging.getLogger("anything").info("line %s", number)
    if sys.argv[1] == "fork" and os.fork() == 0:
        os._exit(0)
    if sys.argv[1] == "crash":
        raise ValueError("a bug")
    if sys.argv[1] in ("terminate", "kill"):
        await asyncio.sleep(600)
asyncio.run(main())
"""


def run(how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("how", ["end", "crash", "fork"])
def test_a_process_that_ends_has_written_every_line_once(how: str) -> None:
    written, _ = run(how).communicate(timeout=60)
    assert [json.loads(text)["event"] for text in written.splitlines()] == [f"line {number}" for number in range(50)]


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_process_that_is_killed_has_written_what_is_older_than_a_moment(how: str) -> None:
    process = run(how)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(50)]  # nothing but time has them written
    os.kill(process.pid, signal.SIGTERM if how == "terminate" else signal.SIGKILL)
    assert json.loads(lines[-1])["event"] == "line 49"
    assert process.communicate(timeout=60)[0] == ""
