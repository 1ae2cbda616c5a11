"""Passwords: their hashes, and that making them stalls nobody."""

import asyncio
import os
import sys
import threading
import time

import argon2
import pytest

from quartet_common.core.fair_share import ShareExceededError
from quartet_users.passwords.password_hashing import NICENESS, Passwords, nobodys_hash

TENANT = "acme"


class SlowHasher:
    """Hashes when it is told to; remembers what was hashed, and how many at a time."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.most = 0
        self.go_on = threading.Event()
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        with self._lock:
            self.begun.append(password)
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go_on.wait(20)
        with self._lock:
            self.running -= 1
        return f"hash of {password}"

    def verify(self, hash: str, password: str) -> bool:  # noqa: A002  # argon2's name
        return self.hash(password) == hash

    def check_needs_rehash(self, hash: str) -> bool:  # noqa: A002, ARG002  # argon2's name
        return False


async def begun(hasher: SlowHasher, number: int) -> None:
    """Wait until so many hashes were begun."""
    deadline = time.monotonic() + 20
    while len(hasher.begun) < number:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_hash_is_argon2id_and_verifies_its_password_only() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("correct horse battery staple", TENANT)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert argon2.PasswordHasher().verify(hashed, "correct horse battery staple")
    assert await passwords.verify(hashed, "correct horse battery staple", TENANT)
    assert not await passwords.verify(hashed, "another", TENANT)


async def test_equal_passwords_have_different_hashes() -> None:
    passwords = Passwords()
    assert await passwords.hash("same", TENANT) != await passwords.hash("same", TENANT)


async def test_a_password_is_the_same_however_its_characters_are_composed() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("Amélie Poulain ﬁne", TENANT)
    assert await passwords.verify(hashed, "Ame\u0301lie Poulain fine", TENANT)


async def test_nobodys_hash_costs_what_a_real_one_costs_and_no_password_has_it() -> None:
    passwords = Passwords()
    assert argon2.extract_parameters(nobodys_hash()) == argon2.extract_parameters(
        await passwords.hash("a password", TENANT)
    )
    assert not await passwords.verify(None, "a password", TENANT)
    assert not passwords.is_outdated(nobodys_hash())
    assert passwords.is_outdated(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a password"))


@pytest.mark.parametrize("wrong", ["x" * 5000, "\ud800", "", "\0"])
async def test_odd_passwords_are_wrong_and_nothing_else(wrong: str) -> None:
    passwords = Passwords()
    assert not await passwords.verify(await passwords.hash("a password", TENANT), wrong, TENANT)
    assert not await passwords.verify("no hash", wrong, TENANT)


async def test_so_many_are_hashed_at_a_time_and_the_loop_goes_on_beside_it() -> None:
    hasher = SlowHasher()
    passwords = Passwords(threads=2, hasher=hasher)
    tasks = [asyncio.create_task(passwords.hash(str(number), TENANT)) for number in range(5)]
    await begun(hasher, 2)
    assert hasher.running == 2
    hasher.go_on.set()
    assert await asyncio.gather(*tasks) == [f"hash of {number}" for number in range(5)]
    assert (sorted(hasher.begun), hasher.most) == (["0", "1", "2", "3", "4"], 2)


async def test_when_too_many_of_a_tenant_wait_its_next_is_refused_and_those_of_others_are_not() -> None:
    hasher = SlowHasher()
    passwords = Passwords(waiting=2, hasher=hasher)
    tasks = [asyncio.create_task(passwords.hash(str(number), TENANT)) for number in range(3)]
    await begun(hasher, 1)
    with pytest.raises(ShareExceededError) as raised:
        await passwords.hash("one too many", TENANT)
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (429, "1")
    login = asyncio.create_task(passwords.verify("hash of mine", "mine", "other"))
    hasher.go_on.set()
    assert await login
    await asyncio.gather(*tasks)
    assert "mine" in hasher.begun[:3], "one of each tenant in turn"
    assert "one too many" not in hasher.begun


async def test_within_a_tenant_logins_go_first() -> None:
    hasher = SlowHasher()
    passwords = Passwords(hasher=hasher)
    writes = [asyncio.create_task(passwords.hash(str(number), TENANT)) for number in range(3)]
    await begun(hasher, 1)
    login = asyncio.create_task(passwords.verify("hash of mine", "mine", TENANT))
    await asyncio.sleep(0)
    hasher.go_on.set()
    assert await login
    await asyncio.gather(*writes)
    assert hasher.begun == ["0", "mine", "1", "2"]


async def test_who_gives_up_leaves_no_place_taken_and_is_not_hashed_for() -> None:
    hasher = SlowHasher()
    passwords = Passwords(waiting=2, hasher=hasher)
    first = asyncio.create_task(passwords.hash("first", TENANT))
    await begun(hasher, 1)
    for _ in range(10):
        waiting = [asyncio.create_task(passwords.hash("given up", TENANT)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    first.cancel()  # it is being hashed: that goes on, and takes its thread until it is done
    last = asyncio.create_task(passwords.hash("last", TENANT))
    await asyncio.gather(first, return_exceptions=True)
    hasher.go_on.set()
    assert await last == "hash of last"
    assert (hasher.begun, hasher.most) == (["first", "last"], 1)


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux only")
async def test_hashing_gives_way_to_everything_else() -> None:
    found: list[int] = []

    class Asking(SlowHasher):
        def hash(self, password: str) -> str:
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return password

    await Passwords(hasher=Asking()).hash("a password", TENANT)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found == [max(own, NICENESS)]
