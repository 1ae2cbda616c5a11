"""The origin list in memory: which origins it allows for a tenant, without one, and after a change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from quartet_common.auth.origin_list import OriginList
from quartet_common.data.database import Database

APP, ADMIN = "https://app.example.com", "https://admin.example.com"


class KeptOrigins:
    """Stands for the database: gives the rows that are `changed`, and says up to which transaction."""

    def __init__(self) -> None:
        self.changed: dict[str, list[str]] = {}
        self.horizon = 7
        self.asked: list[str] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["KeptOrigins"]:
        yield self

    async def fetch(self, _: str, horizon: str) -> list[dict[str, Any]]:
        self.asked.append(horizon)
        rows: list[tuple[str | None, list[str] | None]] = [*self.changed.items()] or [(None, None)]
        return [{"horizon": str(self.horizon), "tenant_id": tenant, "origins": origins} for tenant, origins in rows]


@pytest.fixture
def kept() -> KeptOrigins:
    return KeptOrigins()


async def listed(kept: KeptOrigins, *everywhere: str, **changed: list[str]) -> OriginList:
    made = OriginList(lambda: cast(Database, kept), everywhere)
    kept.changed = changed
    await made.refresh()
    return made


async def test_a_tenants_origin_is_allowed_for_its_tokens_and_without_a_token_only(kept: KeptOrigins) -> None:
    origins = await listed(kept, acme=[APP], beta=[ADMIN])
    assert origins.allowed(APP, "acme") == origins.allowed(APP, None) == APP
    assert origins.allowed(ADMIN, "beta") == origins.allowed(ADMIN, None) == ADMIN
    assert origins.allowed(APP, "beta") is origins.allowed(ADMIN, "acme") is None
    assert origins.allowed(APP, "nobody") is None


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:443",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "HTTPS://APP.EXAMPLE.COM",
        "https://app.example.com.evil.com",
        "https://sub.app.example.com",
        "null",
        "*",
        "",
    ],
)
async def test_an_origin_is_compared_whole(kept: KeptOrigins, other: str) -> None:
    origins = await listed(kept, ADMIN, acme=[APP])
    assert origins.allowed(other, "acme") is origins.allowed(other, None) is None


async def test_a_wildcard_matches_subdomains_at_any_depth_at_its_port(kept: KeptOrigins) -> None:
    origins = await listed(kept, acme=["https://*.example.com", "https://*.example.org:8443"])
    for origin in (APP, "https://a.b.example.com", "https://app.example.org:8443"):
        assert origins.allowed(origin, "acme") == origins.allowed(origin, None) == origin
        assert origins.allowed(origin, "beta") is None
    for origin in (
        "https://example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.org",
        "https://evil-example.com",
        "https://example.com.evil.com",
        "https://.example.com",
        "https://evil.com/.example.com",
        "https://evil.com#.example.com",
        "https://evil.com\\.example.com",
        "https://user@app.example.com",
        "https://*.example.com.evil.com",
        f"https://{'a.' * 200}example.com",
    ):
        assert origins.allowed(origin, "acme") is origins.allowed(origin, None) is None, origin


async def test_origins_of_the_installation_are_allowed_for_every_tenant(kept: KeptOrigins) -> None:
    origins = await listed(kept, ADMIN, acme=[APP])
    assert origins.allowed(ADMIN, "acme") == origins.allowed(ADMIN, None) == origins.allowed(ADMIN, "beta") == ADMIN


async def test_with_a_star_in_the_installations_list_every_origin_is_allowed(kept: KeptOrigins) -> None:
    origins = await listed(kept, "*")
    assert origins.allowed("https://evil.example.com", "acme") == origins.allowed("null", None) == "*"


async def test_an_origin_of_two_tenants_is_allowed_until_both_have_removed_it(kept: KeptOrigins) -> None:
    origins = await listed(kept, acme=[APP], beta=[APP, ADMIN])
    kept.changed = {"acme": []}
    await origins.refresh()
    assert origins.allowed(APP, "acme") is None
    assert origins.allowed(APP, "beta") == origins.allowed(APP, None) == APP
    kept.changed = {"beta": [ADMIN]}
    await origins.refresh()
    assert origins.allowed(APP, "beta") is origins.allowed(APP, None) is None
    assert origins.allowed(ADMIN, "beta") == ADMIN


async def test_a_refresh_asks_for_what_the_one_before_could_not_see(kept: KeptOrigins) -> None:
    origins = await listed(kept, acme=[APP])
    kept.changed, kept.horizon = {}, 9
    await origins.refresh()
    await origins.refresh()
    assert kept.asked == ["0", "7", "9"]
    assert origins.allowed(APP, "acme") == APP


async def test_after_a_restore_everything_is_read_again_and_what_is_gone_is_forgotten(kept: KeptOrigins) -> None:
    origins = await listed(kept, acme=[APP], beta=[ADMIN])
    kept.changed, kept.horizon = {"beta": [ADMIN]}, 3
    await origins.refresh()
    assert kept.asked == ["0", "7", "0"]
    assert origins.allowed(APP, "acme") is origins.allowed(APP, None) is None
    assert origins.allowed(ADMIN, "beta") == ADMIN
