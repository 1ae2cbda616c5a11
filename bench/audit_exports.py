"""How fast GET /audit/export streams a log in each format, and how much memory it takes.

Starts PostgreSQL, Redis and RabbitMQ of its own, fills a log with ENTRIES (200,000) entries of 1 kB, and reads the
lines in this process, without network: `.venv/bin/python bench/audit_exports.py [ENTRIES]`. Prints entries of the log
per second, CPU time of this process for each, and the largest RSS with its growth during the export.
"""

import asyncio
import sys
import time

import psutil
import uvloop
from audit_events import TENANT, configured, fill

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.exports.bundle_usecases import bundle_lines, open_bundle
from quartet_audit.exports.export_parameters import read_export
from quartet_audit.exports.export_usecases import export_lines, read_size
from quartet_testing.services import RunningService, run_service

QUERIES = {
    "ndjson": "format=ndjson",
    "csv": "format=csv",
    "ocsf": "format=ocsf",
    "one in a hundred": "format=ndjson&outcome=denied",
    "none passes": "format=ndjson&actor=nobody",
    "bundle": "format=bundle",
}


async def measure(service: RunningService, name: str, query: str, count: int) -> None:
    """Read one export."""
    container, process = service.container, psutil.Process()
    wanted = read_export({key: [value] for key, _, value in (one.partition("=") for one in query.split("&"))})
    if name == "bundle":
        lines = bundle_lines(container, await open_bundle(container, TENANT, 0))
    else:
        lines = export_lines(container, TENANT, wanted, await read_size(container, TENANT))
    size = rows = 0
    before = most = process.memory_info().rss
    begun, spent = time.perf_counter(), time.process_time()
    async for piece in lines:
        size += len(piece)
        rows += piece.count(b"\n")
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
    print(
        f"{name:16} {rows:9,} rows {size / 1e6:7.0f} MB {seconds:6.1f} s, {count / seconds:7,.0f} entries/s, "
        f"{cpu / count * 1e6:4.0f} us CPU each, RSS {most / 1e6:.0f} MB (+{(most - before) / 1e6:.0f})"
    )


async def main(count: int) -> None:
    """Run everything."""
    with configured() as (_, _, owner):
        async with run_service(SERVICE, owner) as service:
            await fill(service, owner, count)
            signer = CheckpointSigner(service.container)
            for _ in range(count // 20_000 + 1):  # a run signs 20,000 leaves
                await signer.run()
            for name, query in QUERIES.items():
                await measure(service, name, query, count)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
