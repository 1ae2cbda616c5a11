"""What the tests of the verifier have in common: a log, and a verification of its bundle."""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_testing.audit_bundles import Document, Log, encode

Verify = Callable[..., Report]


@pytest.fixture(scope="session")
def stored_log() -> bytes:
    """A log of 600 entries, made once."""
    return pickle.dumps(Log().append(600))


@pytest.fixture
def log(stored_log: bytes) -> Log:
    """A log of 600 entries, for this test: two full tiles and a partial one."""
    read: Log = pickle.loads(stored_log)  # noqa: S301  # it was made above
    return read


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Verifies lines, or bytes, of one bundle, with a state directory that lasts for the test."""

    def run(*pieces: Sequence[Document] | bytes, tenant: str | None = None, trust: Trust | None = None) -> Report:
        paths = []
        for number, piece in enumerate(pieces):
            path = tmp_path / f"{number}.ndjson"
            path.write_bytes(piece if isinstance(piece, bytes) else encode(piece))
            paths.append(path)
        return verify_files(paths, trust or Trust(State(tmp_path / "state")), tenant)

    return run
