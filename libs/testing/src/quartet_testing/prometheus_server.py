"""A real Prometheus with given samples, on a port of its own."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from quartet_cli import ports
from quartet_testing.conditions import eventually

PROGRAMS = ("prometheus", "promtool")
"""What Debian's package `prometheus` has."""


@asynccontextmanager
async def run_prometheus(folder: Path, open_metrics: str) -> AsyncIterator[httpx.AsyncClient]:
    """Start one that has the samples, with its files in `folder`; gives a client with its address."""
    (folder / "samples").write_text(open_metrics)
    (folder / "prometheus.yaml").write_text("")
    importing = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q"]
    subprocess.run([*importing, folder / "samples", folder / "data"], check=True, capture_output=True)  # noqa: ASYNC221
    [port] = ports.choose(1, set())
    options = {
        "config.file": folder / "prometheus.yaml",
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "10y",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command)  # noqa: ASYNC220  # ended below
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await eventually(lambda: _is_ready(client, process), "prometheus is ready")
            yield client
    finally:
        process.terminate()
        process.wait(30)


async def _is_ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"prometheus ended with {process.returncode}")
    try:
        return (await client.get("/-/ready")).is_success
    except httpx.TransportError:
        return False
