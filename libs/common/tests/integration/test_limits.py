"""Limits over HTTP and through Redis: who is let through, what is said, what is counted together, and without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from quart import Quart

from quartet_cli.stack import Stack
from quartet_common.config.rate_limit import Limit
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import UnauthorizedError
from quartet_common.limits import limiter
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public, requires
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused, stopped
from quartet_testing.services import RunningService, new_tenant, run_service

LONG = 3600
"""Seconds of a window that no test outlives."""
ORIGIN = "https://app.example.com"

Run = Callable[..., AbstractAsyncContextManager[RunningService]]


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app with a closed route, a public one, and one that looks at secrets."""
    app = create_base_app(container, title="Common")

    @app.get("/common/things")
    @requires("users:read")
    async def things() -> str:
        return "things"

    @app.get("/common/open")
    @public
    async def open_() -> str:
        return "open"

    @app.post("/common/token")
    @public
    async def token() -> str:
        app.extensions["tried"] = app.extensions.get("tried", 0) + 1
        raise UnauthorizedError("invalid_client")

    return app


@pytest.fixture
def run(config: ServiceConfig) -> Run:
    """Runs the app as a service of a name of its own (or `named`), with the limits that are given."""

    @asynccontextmanager
    async def start(**limits: Any) -> AsyncIterator[RunningService]:
        changed = config.model_copy(update={"refusal_window": 0.1, "cors_origins": [ORIGIN], **limits})
        made = Service(
            package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
        )
        async with run_service(made, changed) as running:
            yield running

    return start


async def statuses(service: RunningService, number: int, path: str = "/common/things", **options: Any) -> list[int]:
    answers = [await service.client.get(path, **options) for _ in range(number)]
    return [answer.status_code for answer in answers]


def from_address(address: str) -> dict[str, Any]:
    return {"scope_base": {"client": (address, 1)}}


async def test_a_client_that_sends_too_much_is_told_when_to_come_back_and_no_other_is(run: Run) -> None:
    tenant = new_tenant()
    async with run(limit_client=Limit(3, LONG)) as service:
        busy = service.tokens.headers(tenant, ["users:read"], actor="busy")
        answers = [await service.client.get("/common/things", headers=busy) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
            f'"client";r={left}' for left in (2, 1, 0, 0)
        ]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {f'"client";q=3;w={LONG}'}
        refused = answers[-1]
        assert refused.content_type == "application/problem+json"
        assert (await refused.get_json())["code"] == "too_many_requests"
        assert refused.headers["RateLimit"] == f'"client";r=0;t={refused.headers["Retry-After"]}'
        assert 0 < int(refused.headers["Retry-After"]) <= 2 * LONG
        other = service.tokens.headers(tenant, ["users:read"], actor="other")
        assert await statuses(service, 1, headers=other) == [200]


async def test_a_person_is_limited_whichever_token_it_uses(run: Run) -> None:
    tenant = new_tenant()
    async with run(limit_user=Limit(2, LONG)) as service:
        tokens = [
            service.tokens.headers(tenant, ["users:read"], "bjensen", client_id="console", jti=str(number))
            for number in range(3)
        ]
        assert [(await statuses(service, 1, headers=one))[0] for one in tokens] == [200, 200, 429]
        colleague = service.tokens.headers(tenant, ["users:read"], "other", client_id="console")
        assert await statuses(service, 1, headers=colleague) == [200]


async def test_services_are_let_through(run: Run) -> None:
    async with run(limit_client=Limit(1, LONG), limit_address=Limit(1, LONG)) as service:
        headers = {**service.tokens.headers("*", ["service", "users:read"]), "Quartet-Tenant": new_tenant()}
        assert await statuses(service, 5, headers=headers) == [200] * 5


async def test_without_a_token_an_address_counts_and_ipv6_by_its_network(run: Run) -> None:
    async with run(limit_address=Limit(2, LONG)) as service:
        first, same, other = (from_address(f"2001:db8:{n}::{n}{i}") for n, i in ((1, 1), (1, 2), (2, 1)))
        await service.client.get("/common/open", **first)
        for path in ("/common/nowhere", "/common/open", "/common/things", "/common/openapi.json"):
            answer = await service.client.get(path, **same)
            assert answer.status_code == (404 if path == "/common/nowhere" else 429)
        assert await statuses(service, 1, "/common/open", **other) == [200]
        headers = service.tokens.headers(new_tenant(), ["users:read"])
        assert await statuses(service, 3, headers=headers, **first) == [200] * 3


async def test_health_is_answered_however_often(run: Run) -> None:
    async with run(limit_address=Limit(1, LONG), limit_refused=Limit(1, LONG)) as service:
        for name in ("live", "ready"):
            assert await statuses(service, 5, f"/common/health/{name}") == [200] * 5


async def test_an_address_that_guesses_is_not_listened_to_any_more_but_known_tokens_work_on(run: Run) -> None:
    async with run(limit_refused=Limit(3, LONG)) as service:
        guesser, other = from_address("2001:db8:9:1::1"), from_address("2001:db8:9:2::1")
        good = service.tokens.headers(new_tenant(), ["users:read"])
        assert await statuses(service, 1, headers=good, **guesser) == [200]
        wrong = {"Authorization": "Bearer nonsense"}
        assert await statuses(service, 5, headers=wrong, **guesser) == [401, 401, 401, 429, 429]
        refused = await service.client.get("/common/things", headers=wrong, **guesser)
        assert 0 < int(refused.headers["Retry-After"]) <= 2 * LONG
        assert await statuses(service, 1, headers=good, **guesser) == [200]
        assert await statuses(service, 1, "/common/open", **guesser) == [200]
        assert await statuses(service, 1, headers=wrong, **other) == [401]


async def test_a_neighbour_that_guesses_keeps_out_nobody_whose_token_is_new_or_who_asks_for_one(run: Run) -> None:
    async with run(limit_refused=Limit(3, LONG)) as service:
        office = from_address("2001:db8:9:1::1")
        await statuses(service, 5, headers={"Authorization": "Bearer nonsense"}, **office)
        fresh = service.tokens.headers(new_tenant(), ["users:read"], jti="unseen")
        assert await statuses(service, 1, headers=fresh, **office) == [200]
        assert (await service.client.post("/common/token", data="secret=x", **office)).status_code == 401
        assert service.app.extensions["tried"] == 1


async def test_tokens_that_look_like_ours_are_looked_at_so_many_a_second(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "CHECKS", Limit(2, LONG))
    async with run(limit_refused=Limit(1, LONG)) as service:
        office, tenant = from_address("2001:db8:9:1::1"), new_tenant()
        await statuses(service, 1, headers={"Authorization": "Bearer nonsense"}, **office)
        forged = [forge(service, tenant, str(number)) for number in range(3)]
        assert [(await statuses(service, 1, headers=one, **office))[0] for one in forged] == [401, 401, 429]
        fresh = service.tokens.headers(tenant, ["users:read"], jti="unseen")
        assert await statuses(service, 1, headers=fresh, **office) == [429], "as far as that goes"
        assert await statuses(service, 1, headers=fresh, **from_address("2001:db8:9:2::1")) == [200]


def forge(service: RunningService, tenant: str, token_id: str) -> dict[str, str]:
    """A token that names our key, with the signature of another."""
    good, other = (service.tokens.token(tenant, ["users:read"], jti=one) for one in (token_id, "other"))
    return {"Authorization": f"Bearer {good.rpartition('.')[0]}.{other.rpartition('.')[2]}"}


@pytest.mark.parametrize("claims", [{"exp": int(time.time()) - 60}, {"aud": "elsewhere"}])
async def test_a_token_that_was_ours_once_is_no_guess(run: Run, claims: dict[str, Any]) -> None:
    async with run(limit_refused=Limit(2, LONG)) as service:
        old = service.tokens.headers(new_tenant(), ["users:read"], iat=int(time.time()) - 600, **claims)
        assert await statuses(service, 5, headers=old) == [401] * 5
        assert await statuses(service, 4, headers={"Authorization": "Bearer nonsense"}) == [401, 401, 429, 429]


async def test_a_request_with_a_bad_token_counts_for_its_address_and_keeps_no_good_one_out(run: Run) -> None:
    async with run(limit_address=Limit(3, LONG)) as service:
        office = from_address("2001:db8:9:4::1")
        old = service.tokens.headers(
            new_tenant(), ["users:read"], iat=int(time.time()) - 600, exp=int(time.time()) - 60
        )
        assert await statuses(service, 5, headers=old, **office) == [401, 401, 401, 429, 429]
        assert await statuses(service, 1, "/common/open", **office) == [429]
        junk = await service.client.get("/common/things", headers={"Authorization": "Bearer junk"}, **office)
        assert junk.status_code == 429
        assert junk.headers["RateLimit"].startswith('"address";r=0;'), "it has not guessed, it has asked too often"
        fresh = service.tokens.headers(new_tenant(), ["users:read"], jti="unseen")
        assert await statuses(service, 1, headers=fresh, **office) == [200]


async def test_a_good_token_sent_along_does_not_open_what_looks_at_secrets(run: Run) -> None:
    async with run(limit_refused=Limit(2, LONG)) as service:
        guesser = from_address("2001:db8:9:5::1")
        good = service.tokens.headers(new_tenant(), ["users:read"])
        assert await statuses(service, 1, headers=good, **guesser) == [200]
        answers = [await service.client.post("/common/token", headers=good, **guesser) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
        assert service.app.extensions["tried"] == 2


async def test_wrong_secrets_end_in_that_none_is_looked_at_and_no_token_counts_nothing(run: Run) -> None:
    async with run(limit_refused=Limit(2, LONG)) as service:
        guesser = from_address("2001:db8:9:3::1")
        assert await statuses(service, 5, **guesser) == [401] * 5
        answers = [await service.client.post("/common/token", **guesser) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
        assert service.app.extensions["tried"] == 2
        assert await statuses(service, 1, headers={"Authorization": "Bearer nonsense"}, **guesser) == [401]


async def test_a_page_of_a_listed_origin_can_read_that_it_was_too_much(run: Run) -> None:
    async with run(limit_client=Limit(1, LONG)) as service:
        headers = {**service.tokens.headers(new_tenant(), ["users:read"]), "Origin": ORIGIN}
        assert await statuses(service, 1, headers=headers) == [200]
        answer = await service.client.get("/common/things", headers=headers)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (429, ORIGIN)


async def test_what_was_refused_is_told_once_a_window(run: Run) -> None:
    tenant = new_tenant()
    async with run(limit_client=Limit(1, LONG), refusal_window=LONG) as service:
        headers = service.tokens.headers(tenant, ["users:read"], actor="busy")
        await statuses(service, 4, headers=headers)
        await service.app.extensions["quartet_refusals"].flush()
        [event] = await service.outbox(tenant)
        assert (event.action, event.outcome, event.actorid) == ("common.request.limited", "denied", "busy")
        assert isinstance(event.data, dict)
        facts = {key: event.data[key] for key in ("status", "limit", "count", "method", "path")}
        assert facts == {"status": 429, "limit": "client", "count": 3, "method": "GET", "path": "/common/things"}


async def test_two_processes_count_together(run: Run) -> None:
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(run(limit_client=Limit(20, LONG))) for _ in range(2)]
        second.container.key_finder = first.tokens.find_key
        headers = first.tokens.headers(new_tenant(), ["users:read"])
        assert await statuses(first, 15, headers=headers) == [200] * 15
        assert await statuses(second, 1, headers=headers) == [200]

        async def only_what_is_left() -> bool:
            answer = await second.client.get("/common/things", headers=headers)
            assert answer.headers["RateLimit"].startswith('"client";r=')
            return answer.status_code == 429

        await eventually(only_what_is_left, "the second knows what the first has let through")

        async def known() -> bool:
            return await statuses(first, 1, headers=headers) == [429]

        await eventually(known, "the first knows what the second has let through")


@pytest.mark.parametrize("fault", [stopped, paused])
async def test_without_redis_each_process_limits_by_itself_and_goes_on_together_afterwards(
    run: Run, servers: Stack, fault: Any
) -> None:
    async with run(limit_client=Limit(3, LONG)) as service:
        sync = service.app.extensions["quartet_limits"].sync
        async with fault(servers, "redis"):
            headers = service.tokens.headers(new_tenant(), ["users:read"], actor=new_tenant())
            assert await statuses(service, 5, headers=headers) == [200, 200, 200, 429, 429]

            async def away() -> bool:
                return bool(sync._is_away)

            await eventually(away, "it is seen that Redis is away")

        async def there() -> bool:
            fresh = service.tokens.headers(new_tenant(), ["users:read"], actor=new_tenant())
            await statuses(service, 1, headers=fresh)
            return not sync._is_away

        await eventually(there, "it is seen that Redis is back")


async def test_what_is_kept_in_redis_ends_by_itself_and_names_the_limit(run: Run) -> None:
    tenant = new_tenant()
    async with run(limit_client=Limit(100, 30)) as service:
        await asyncio.gather(
            *(statuses(service, 3, headers=service.tokens.headers(tenant, ["users:read"], f"c{n}")) for n in range(3))
        )

        async def keys() -> list[Any]:
            found: list[Any] = await service.container.redis.keys(f"limits/common/client/30/{tenant}*")
            assert len({key.rpartition(b"/")[0] for key in found}) == 3
            return found

        for key in await eventually(keys, "three counts in Redis"):
            assert 0 < await service.container.redis.ttl(key) <= 61
