"""The proof of a write, from the response of users to both signed checkpoints, through the proxy."""

import base64
from hashlib import sha256

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.merkle import hashed_leaf
from quartet_testing.tlog import is_included, read_proof, verify

pytestmark = pytest.mark.local_stack


async def vkeys(api: Api, log: str) -> list[str]:
    """The vkeys by which a log is signed now."""
    keys = (await api.get(f"{log}/keys")).json()["keys"]
    return [key["vkey"] for key in keys if key["until"] is None]


async def test_a_user_s_creation_is_proven_to_be_in_the_deployment_log(api: Api, stack: Stack) -> None:
    user = await api.create_user()
    [entry] = await api.entries_of(user["id"], "users.user.created")
    answer = await api.get(f"/audit/events/{entry['id']}/proof", params={"wait": 10})
    assert answer.status_code == 200, answer.text
    proof = answer.json()
    head = verify(proof["checkpoint"].encode(), (await vkeys(api, f"/audit/log/{entry['tenant']}"))[0])
    host = stack.url.partition("://")[2]
    assert head.origin == f"{host}/audit/log/{entry['tenant']}"
    leaf = base64.b64decode(proof["leaf"])
    assert base64.b64decode(proof["leaf_hash"]) == hashed_leaf(leaf)
    assert is_included(entry["sequence"], leaf, [base64.b64decode(one) for one in proof["hashes"]], head)
    deployment = proof["deployment"]
    for vkey in await vkeys(api, "/audit/log"):
        deployed = verify(deployment["checkpoint"].encode(), vkey)
        hashes = [base64.b64decode(one) for one in deployment["hashes"]]
        assert is_included(deployment["leaf_index"], base64.b64decode(deployment["leaf"]), hashes, deployed)
    salt = base64.b64decode(deployment["salt"])
    assert base64.b64decode(deployment["leaf"])[17:] == sha256(salt + head.text).digest()
    text = await api.get(f"/audit/events/{entry['id']}/proof.tlog-proof")
    assert read_proof(text.content).extra == leaf
