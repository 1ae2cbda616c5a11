"""What a log line costs: each written by a call of its own, and in batches, at several rates, in turns.

    .venv/bin/python bench/log_lines.py [SECONDS]

A line is that of a request. Another process reads the pipe, as supervisord or a container runtime does. Decision 0026.
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

RATES = (100, 500, 1000, 2000)
ROUNDS = 5
FIELDS = {"method": "GET", "path": "/scim/v2/Users", "status": 200, "milliseconds": 1.25, "source_address": "127.0.0.1"}
KINDS: dict[str, type[logging.StreamHandler[TextIO]]] = {"single": logging.StreamHandler, "batches": LineBatches}


async def spend(rate: int, seconds: float, logger: logging.Logger | None) -> float:
    """Seconds of processor time for ticks at `rate` a second, each of which logs a line if there is a logger."""
    begun, used = time.monotonic(), time.process_time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        if logger is not None:
            begin_context(request_id="01a2046c-4531-744c-8f2c-3eff55c91727", tenant="acme", actor="scim-client")
            logger.info("request", extra=FIELDS)
    return time.process_time() - used


def cost(kind: str, rate: int, seconds: float) -> float:
    """Microseconds of a line."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        with os.fdopen(os.dup(reader.stdin.fileno()), "w", buffering=1) as stream:
            logger = logging.getLogger(f"bench.{kind}")
            logger.handlers, logger.propagate, logger.level = [KINDS[kind](stream)], False, logging.INFO
            logger.handlers[0].setFormatter(JsonLines("users", "api"))
            without = uvloop.run(spend(rate, seconds, None))
            spent = uvloop.run(spend(rate, seconds, logger)) - without
            logger.handlers[0].flush()
        reader.stdin.close()
    return spent / int(rate * seconds) * 1e6


def main() -> None:
    """Measure each rate in turns and print the medians."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for rate in RATES:
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, costs in found.items():
                costs.append(cost(kind, rate, seconds))
        shown = ", ".join(f"{kind} {statistics.median(costs):.1f} us" for kind, costs in found.items())
        print(f"{rate} lines/s: {shown}", flush=True)


if __name__ == "__main__":
    main()
