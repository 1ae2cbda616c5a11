"""The command line as an auditor types it, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quartet_testing.audit_bundles import Log, Signer, edit_part, encode

LOG = Log().append(5)


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), **variables}
    command = [sys.executable, "-m", "quartet_audit_verifier", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bundle, a changed one, proofs and a policy."""
    documents = LOG.documents()
    (tmp_path / "good.ndjson").write_bytes(encode(documents))
    edit_part(documents[2], "actor", lambda raw: raw.replace(b"Person", b"Nobody"))
    (tmp_path / "changed.ndjson").write_bytes(encode(documents))
    (tmp_path / "proof.json").write_text(json.dumps(LOG.proof(3)))
    (tmp_path / "event.tlog-proof").write_text(LOG.text_proof(3))
    (tmp_path / "policy").write_text("".join(f"log {each.vkey}\n" for each in LOG.deployment_signers) + "quorum none\n")
    return tmp_path


def test_a_verified_bundle_exits_with_0_and_is_remembered(folder: Path) -> None:
    done = run(folder, "verify", "--bundle", "good.ndjson")
    assert (done.returncode, done.stderr) == (0, "")
    assert "VERIFIED" in done.stdout
    assert "FIRST USE" in done.stdout
    assert "FIRST USE" not in run(folder, "verify", "--bundle", "good.ndjson", "--tenant", "acme").stdout


def test_a_changed_bundle_exits_with_5_and_says_what_was_changed(folder: Path) -> None:
    done = run(folder, "verify", "--bundle", "changed.ndjson")
    assert (done.returncode, done.stderr) == (5, "")
    assert "Part actor of entry 1 was changed" in done.stdout
    assert "NOT VERIFIED: 1 findings (changed 1)" in done.stdout


def test_the_report_as_json(folder: Path) -> None:
    report = json.loads(run(folder, "verify", "--bundle", "changed.ndjson", "--json").stdout)
    assert (report["verified"], report["counts"]) == (False, {"changed": 1})
    [finding] = report["findings"]
    assert (finding["kind"], finding["sequence"], finding["part"]) == ("changed", 1, "actor")


@pytest.mark.parametrize("file", ["proof.json", "event.tlog-proof"])
def test_a_proof_is_verified_once_its_log_is_known(folder: Path, file: str) -> None:
    assert run(folder, "verify-proof", file).returncode == 5
    assert (
        run(
            folder, "verify-proof", file, *(f"--vkey={each.vkey}" for each in (LOG.signer, *LOG.deployment_signers))
        ).returncode
        == 0
    )
    assert run(folder, "verify-proof", file).returncode == 0


def test_a_policy_is_used(folder: Path) -> None:
    assert run(folder, "verify", "--bundle", "good.ndjson", "--policy", "policy").returncode == 0
    witness = Signer("w.example", 4, bytes(32))
    (folder / "policy").write_text(f"witness w {witness.vkey}\nquorum w\n")
    done = run(folder, "verify", "--bundle", "good.ndjson", "--policy", "policy")
    assert (done.returncode, "quorum" in done.stdout) == (5, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "usage:"),
        (["verify"], 2, "--bundle FILE, or --url URL"),
        (["verify", "--url", "https://quartet.example"], 2, "--url URL and --tenant TENANT"),
        (["verify", "--url", "https://quartet.example", "--tenant", "acme"], 2, "QUARTET_AUDIT_TOKEN"),
        (["verify", "--bundle", "none.ndjson"], 1, "No such file"),
        (["verify", "--bundle", "good.ndjson", "--policy", "none"], 2, "The policy none cannot be used"),
        (["verify", "--bundle", "good.ndjson", "--policy", "good.ndjson"], 2, "line 1: unknown keyword"),
        (["verify", "--bundle", "good.ndjson", "--vkey", "x"], 2, "--vkey cannot be used: not a vkey"),
        (["verify", "--bundle", "good.ndjson", "--checkpoint", "policy"], 1, "Cannot read the checkpoint in policy"),
        (["verify", "--bundle", "good.ndjson", "--state", "policy"], 1, "Cannot read policy"),
        (["verify-proof", "none"], 1, "No such file"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(folder: Path, arguments: list[str], code: int, said: str) -> None:
    done = run(folder, *arguments, QUARTET_AUDIT_TOKEN="")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_documents_every_exit_code(folder: Path) -> None:
    for command in (["--help"], ["verify", "--help"], ["verify-proof", "--help"]):
        shown = " ".join(run(folder, *command).stdout.split())
        for code in ("0 verified", "1 error", "2 wrong usage", "5 not verified", "130 interrupted"):
            assert code in shown
