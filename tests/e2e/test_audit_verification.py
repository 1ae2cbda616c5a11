"""The audit log as an auditor checks it: `./quartet audit`, through the proxy, and from files."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.command_line import quartet

pytestmark = pytest.mark.local_stack


async def test_the_log_of_the_running_stack_is_verified_and_later_found_to_be_a_continuation(
    stack: Stack, api: Api, tmp_path: Path
) -> None:
    for count in (1, 2):
        user = await api.create_user()
        [entry] = await api.entries_of(user["id"], "users.user.created")
        proof = await api.get(f"/audit/events/{entry['id']}/proof", params={"wait": 10})
        assert proof.status_code == 200
        command = ("audit", "verify", "--tenant", entry["tenant"], "--state", str(tmp_path / "state"), "--json")
        code, output, errors = await quartet(stack, *command)
        report = json.loads(output)
        assert (code, errors, report["verified"]) == (0, "", True), output
        assert report["size"] > entry["sequence"]
        keys = {log["keys"] for log in report["logs"].values()}
        assert keys == ({"first use"} if count == 1 else {"saved"})
    path = tmp_path / "proof.json"
    path.write_text(proof.text)
    known = ("--state", str(tmp_path / "state"))
    code, output, _ = await quartet(stack, "audit", "verify-proof", str(path), *known)
    assert code == 0, output
    path.write_text(proof.text.replace(entry["id"], "0" * 36).replace('"leaf":"AQ', '"leaf":"AR'))
    code, output, _ = await quartet(stack, "audit", "verify-proof", str(path), *known)
    assert (code, "NOT VERIFIED" in output) == (5, True)


async def test_a_bundle_that_was_changed_is_named(stack: Stack, api: Api, tmp_path: Path) -> None:
    user = await api.create_user()
    [entry] = await api.entries_of(user["id"], "users.user.created")
    await api.get(f"/audit/events/{entry['id']}/proof", params={"wait": 10})
    answer = await api.get("/audit/export", params={"format": "bundle"})
    assert answer.status_code == 200
    bundle = tmp_path / "bundle.ndjson"
    bundle.write_text(answer.text)
    command = (
        "audit",
        "verify",
        "--bundle",
        str(bundle),
        "--tenant",
        entry["tenant"],
        "--state",
        str(tmp_path / "state"),
    )
    code, output, _ = await quartet(stack, *command)
    assert (code, "VERIFIED" in output) == (0, True), output
    documents = [json.loads(line) for line in answer.text.splitlines()]
    number = next(number for number, each in enumerate(documents) if each.get("sequence") == entry["sequence"])
    documents[number]["parts"]["facts"]["salt"] = b64encode(bytes(32)).decode()
    bundle.write_text("".join(f"{json.dumps(each)}\n" for each in documents))
    code, output, _ = await quartet(stack, *command)
    assert code == 5
    assert f"Part facts of entry {entry['sequence']} was changed" in output
