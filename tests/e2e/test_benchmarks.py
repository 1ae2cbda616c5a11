"""The scripts of bench/ run: the smallest measurement of each, so that a change of the code does not break them."""

import subprocess
import sys

import pytest

from quartet_cli.layout import CHECKOUT

SMALLEST = {
    "audit_exports.py": "3000",
    "audit_proofs.py": "20000 50",
    "audit_search.py": "20000 6",
    "bulk.py": "2000",
    "call_paths.py": "",
    "imports.py": "--users 1000 --groups 10 --memberships 500",
    "logins.py": "1 1",
    "metric_ingest.py": "2000",
    "processes.py": "1 2",
    "prometheus_queries.py": "100000 2",
    "verify_bundle.py": "5000",
    "visibility.py": "--rate 50 --seconds 3",
}
"""Arguments for a measurement that takes seconds; other scripts have none."""


@pytest.mark.slow
@pytest.mark.local_stack
@pytest.mark.parametrize("script", SMALLEST)
def test_a_benchmark_runs(script: str) -> None:
    command = [sys.executable, str(CHECKOUT / "bench" / script), *SMALLEST[script].split()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
