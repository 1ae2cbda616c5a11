"""What a log line costs a busy process: each written by a call of its own, and in batches, in turns.

    .venv/bin/python bench/log_lines.py [LINES]

The process works without a pause, WORK seconds between two lines, as an api does at its limit. A line is that
of a request. Another process reads the pipe, as supervisord or a container runtime does. Decision 0026.
"""

import asyncio
import logging
import os
import statistics
import subprocess
import sys
import time
from typing import TextIO

import uvloop

from quartet_common.logs import JsonLines, LineBatches, begin_context

WORK = 0.001
ROUNDS = 9
FIELDS = {"method": "GET", "path": "/scim/v2/Users", "status": 200, "milliseconds": 1.25, "source_address": "127.0.0.1"}
KINDS: dict[str, type[logging.StreamHandler[TextIO]]] = {"single": logging.StreamHandler, "batches": LineBatches}


class Meter:
    """Processor time of this thread within `with` blocks, in nanoseconds, and how many there were."""

    def __init__(self) -> None:
        self.spent = 0
        self.depth = 0

    def __enter__(self) -> None:
        self.depth += 1
        if self.depth == 1:
            self.begun = time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.spent += time.thread_time_ns() - self.begun


async def log(lines: int, logger: logging.Logger, meter: Meter) -> None:
    """Log so many lines, with work between them."""
    for _ in range(lines):
        end = time.perf_counter() + WORK
        while time.perf_counter() < end:
            pass
        begin_context(request_id="01a2046c-4531-744c-8f2c-3eff55c91727", tenant="acme", actor="scim-client")
        with meter:
            logger.info("request", extra=FIELDS)
        await asyncio.sleep(0)


def cost(kind: str, lines: int) -> float:
    """Microseconds of a line, with what is done later for it."""
    meter = Meter()

    class Metered(KINDS[kind]):  # type: ignore[misc, valid-type]  # one of two classes
        def flush(self) -> None:
            with meter:
                super().flush()

    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        with os.fdopen(os.dup(reader.stdin.fileno()), "w", buffering=1) as stream:
            handler = Metered(stream)
            handler.setFormatter(JsonLines("users", "api"))
            logger = logging.getLogger(f"bench.{kind}")
            logger.handlers, logger.propagate, logger.level = [handler], False, logging.INFO
            uvloop.run(log(lines, logger, meter))
            handler.flush()
        reader.stdin.close()
    return meter.spent / lines / 1000


def main() -> None:
    """Measure both in turns and print the medians."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, costs in found.items():
            costs.append(cost(kind, lines))
    for kind, costs in found.items():
        print(f"{kind}: {statistics.median(costs):.1f} us a line (from {min(costs):.1f} to {max(costs):.1f})")


if __name__ == "__main__":
    main()
