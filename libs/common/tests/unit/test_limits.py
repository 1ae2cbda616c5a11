"""Limits: how they are written, what counts as one address, and what a sliding window lets through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quartet_common.auth.principal import Principal
from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.config.rate_limit import Limit, read_limit
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import LimitedError
from quartet_common.limits.limiter import UNKNOWN_ADDRESS, Limiter, address_key
from quartet_common.limits.redis_sync import BATCH, RedisSync
from quartet_common.limits.windows import REFUSED, SharedClock, Windows


class Clock:
    """Time as the test has it."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def now(self) -> float:
        return self.time


@pytest.mark.parametrize(("text", "limit"), [("300/10", Limit(300, 10)), ("off", None), (" OFF ", None)])
def test_a_limit_is_written_as_requests_and_seconds_or_off(text: str, limit: Limit | None) -> None:
    assert read_limit(text) == limit


@pytest.mark.parametrize("text", ["", "0/10", "10/0", "10", "-1/10", "10/86401", "1.5/10", "ten/10", "10/10/10"])
def test_what_is_no_limit_ends_the_start_with_the_name_of_the_setting(text: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="limit_client"):
        ServiceConfig(**settings | {"limit_client": text})


def test_a_limit_is_read_from_the_environment(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_LIMIT_CLIENT", "7/1")
    monkeypatch.setenv("QUARTET_LIMIT_USER", "off")
    config = ServiceConfig(**settings)
    assert (config.limit_client, config.limit_user) == (Limit(7, 1), None)
    assert config.limit_refused == Limit(100, 60)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("non:sense", UNKNOWN_ADDRESS),
        ("", UNKNOWN_ADDRESS),
        (None, UNKNOWN_ADDRESS),
    ],
)
def test_an_ipv6_address_counts_as_its_network(address: str | None, counted: str) -> None:
    assert address_key(address) == counted


def test_what_is_left_goes_down_to_nothing_and_comes_back() -> None:
    clock = Clock()
    windows = Windows(Limit(3, 10), clock.now)
    assert [windows.take("a") for _ in range(5)] == [2, 1, 0, REFUSED, REFUSED]
    assert windows.take("b") == 2
    assert windows.is_spent("a")
    assert not windows.is_spent("b")
    clock.time += 20
    assert not windows.is_spent("a")
    assert windows.take("a") == 2


def test_the_window_slides() -> None:
    clock = Clock(1009.0)
    windows = Windows(Limit(10, 10), clock.now)
    assert windows.take("a", 10) == 0
    clock.time = 1011.0  # nine tenths of the window before still count
    assert windows.take("a") == 0
    assert windows.take("a") == REFUSED
    clock.time = 1015.0
    assert windows.take("a", 4) == 0


@given(
    quota=st.integers(1, 20),
    seconds=st.integers(1, 60),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 3)), max_size=60),
)
def test_no_window_of_the_clock_has_more_than_the_quota_and_the_wait_is_right(
    quota: int, seconds: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    windows = Windows(Limit(quota, seconds), clock.now)
    used: dict[int, int] = {}
    for pause, cost in steps:
        clock.time += pause
        if windows.take("a", cost) == REFUSED:
            if cost <= quota:
                wait = windows.wait("a", cost)
                assert 1 <= wait <= 2 * seconds
                clock.time += wait + 1e-6
                assert windows.take("a", cost) != REFUSED
                used[int(clock.time / seconds)] = used.get(int(clock.time / seconds), 0) + cost
            continue
        used[int(clock.time / seconds)] = used.get(int(clock.time / seconds), 0) + cost
    assert all(number <= quota for number in used.values())


def test_of_many_keys_the_ones_used_longest_ago_are_forgotten() -> None:
    windows = Windows(Limit(2, 10), Clock().now, capacity=100)
    windows.take("kept")
    for number in range(100_000):
        windows.take(number)
        if number % 50 == 0:
            assert windows.take("kept") in (0, REFUSED)
    assert len(windows) <= 200
    assert len(windows.reports(1_000_000)) <= 201


def test_what_others_have_used_counts_and_nothing_is_told_twice() -> None:
    clock = Clock()
    windows = Windows(Limit(10, 10), clock.now)
    windows.take("a", 3)
    [report] = windows.reports(10)
    assert (report.fresh, report.late, report.window) == (3, 0, 100)
    assert windows.reports(10) == []
    windows.take("a")  # while Redis is asked
    windows.set_totals(report, 8, 0)  # 5 of others
    assert windows.take("a") == 0
    assert windows.take("a") == REFUSED
    [report] = windows.reports(10)
    assert report.fresh == 2


def test_what_was_used_at_the_end_of_a_window_is_told_in_the_next() -> None:
    clock = Clock(1009.9)
    windows = Windows(Limit(10, 10), clock.now)
    windows.take("a", 3)
    clock.time = 1010.1
    [report] = windows.reports(10)
    assert (report.fresh, report.late, report.window) == (0, 3, 101)
    windows.set_totals(report, 2, 9)
    assert windows.take("a") == REFUSED
    clock.time = 1012.0  # eight tenths of 9 are 7 whole ones
    assert windows.take("a") == 0
    assert windows.take("a") == REFUSED
    clock.time = 1017.0  # three tenths are 2
    assert windows.take("a") == 4


def test_a_window_that_ends_while_redis_is_asked_counts_as_the_one_before() -> None:
    clock = Clock(1009.9)
    windows = Windows(Limit(10, 10), clock.now)
    windows.take("a", 3)
    [report] = windows.reports(10)
    clock.time = 1010.0
    windows.take("a")
    windows.set_totals(report, 9, 0)
    assert windows.take("a") == REFUSED


class BusyRedis:
    """A Redis whose every answer takes so long that each client has sent another request by then."""

    def __init__(self, windows: Windows, clients: int) -> None:
        self.calls = 0
        self._windows, self._clients = windows, clients
        self.send()

    def send(self) -> None:
        for number in range(self._clients):
            self._windows.take(f"client-{number}")

    def register_script(self, _: str) -> "BusyRedis":
        return self

    async def __call__(self, keys: list[str], **_: list[int]) -> Any:
        self.calls += 1
        if self.calls > 20:
            raise AssertionError("it is asked again and again")
        self.send()
        return 1000, 0, [0] * len(keys)


async def test_what_comes_while_redis_is_asked_waits_for_the_next_time() -> None:
    windows = Windows(Limit(1_000_000, 10), lambda: 1000.0)
    redis: Any = BusyRedis(windows, clients=3 * BATCH)
    sync = RedisSync(lambda: redis, SharedClock(lambda: 1000.0, lambda: 1000.0), {"limits/common/client": windows})
    await sync.run_once()
    assert redis.calls == 3  # each client was sent once
    await sync.run_once()
    assert redis.calls == 6


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    wall = 5000.0
    clock = SharedClock(monotonic=lambda: 10.0, wall=lambda: wall)
    assert clock.now() == wall
    assert clock.correct(5000.01) == 0.0
    assert clock.correct(1400.0) == -3600.0
    assert clock.now() == 1400.0


PERSON = Principal("acme", "bjensen", "console", frozenset({"users:read"}), 0)
CLIENT = Principal("acme", "okta", "okta", frozenset({"users:read"}), 0)
SERVICE = Principal("acme", "bjensen", "quartet-groups", frozenset({SERVICE_SCOPE}), 0)


def limiter(config: ServiceConfig, **limits: Limit | None) -> Limiter:
    def no_redis() -> object:
        raise AssertionError("nothing is added up here")

    return Limiter(config.model_copy(update=limits), no_redis, SharedClock(lambda: 1000.0, lambda: 1003.5))  # type: ignore[arg-type]  # never called


def test_a_person_counts_for_itself_and_for_its_client(lone_config: ServiceConfig) -> None:
    limits = limiter(lone_config, limit_client=Limit(5, 10), limit_user=Limit(2, 10))
    policies = '"client";q=5;w=10, "user";q=2;w=10'
    assert limits.identified(PERSON) == (policies, '"client";r=4;t=7, "user";r=1;t=7')
    assert limits.identified(PERSON) == (policies, '"client";r=3;t=7, "user";r=0;t=7')
    with pytest.raises(LimitedError) as caught:
        limits.identified(PERSON)
    error = caught.value
    assert (error.status, error.limit, error.headers["RateLimit"][:12]) == (429, "user", '"user";r=0;t')
    assert error.headers["RateLimit-Policy"] == '"user";q=2;w=10'
    other = Principal("acme", "other", "console", frozenset(), 0)
    assert limits.identified(other) == (policies, '"client";r=2;t=7, "user";r=1;t=7')


def test_the_same_client_in_another_tenant_is_another(lone_config: ServiceConfig) -> None:
    limits = limiter(lone_config, limit_client=Limit(1, 10))
    assert limits.identified(CLIENT) is not None
    with pytest.raises(LimitedError):
        limits.identified(CLIENT)
    assert limits.identified(Principal("globex", "okta", "okta", frozenset(), 0)) is not None


def test_services_are_not_limited(lone_config: ServiceConfig) -> None:
    limits = limiter(lone_config, limit_client=Limit(1, 10), limit_user=Limit(1, 10))
    assert [limits.identified(SERVICE) for _ in range(5)] == [None] * 5


def test_a_limit_that_is_off_limits_nobody_and_says_nothing(lone_config: ServiceConfig) -> None:
    limits = limiter(lone_config, limit_client=None, limit_user=None, limit_address=None, limit_refused=None)
    for _ in range(5):
        assert limits.identified(PERSON) is None
        assert limits.anonymous("192.0.2.1") is None
        limits.failed("192.0.2.1")
    assert limits.may_try("192.0.2.1")
    only_users = limiter(lone_config, limit_client=None)
    assert only_users.identified(PERSON) == ('"user";q=300;w=10', '"user";r=299;t=7')
    assert only_users.identified(CLIENT) is None


def test_by_default_an_address_may_fail_a_hundred_times_a_minute(lone_config: ServiceConfig) -> None:
    limits = limiter(lone_config)
    for _ in range(100):
        assert limits.may_try("2001:db8::1")
        limits.failed("2001:db8::2")  # of the same network
    assert not limits.may_try("2001:db8::1")
    assert limits.may_try("192.0.2.1")
    assert 1 <= int(limits.too_many_failures("2001:db8::1").headers["Retry-After"]) <= 60
