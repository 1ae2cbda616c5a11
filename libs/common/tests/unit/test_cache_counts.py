"""What caches count: each look-up is a hit or a miss."""

import httpx
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from quartet_common.auth.client_tokens import ClientTokens
from quartet_common.auth.introspection import RemoteTokens
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.auth.token_verifier import TokenVerifier
from quartet_common.core.cache_counts import CacheCounts, observe_caches
from quartet_testing.tokens import TokenFactory

ISSUER = "https://id.example.com"


def numbers(counts: CacheCounts) -> tuple[int, int]:
    return counts.hits, counts.misses


async def test_the_second_use_of_a_token_is_a_hit() -> None:
    factory, counts = TokenFactory(ISSUER), CacheCounts("tokens")
    verifier = TokenVerifier(ISSUER, factory.find_key, counts=counts)
    token = factory.token("acme", ["users:read"])
    await verifier.verify(token)
    assert numbers(counts) == (0, 1)
    await verifier.verify(token)
    assert numbers(counts) == (1, 1)
    verifier.forget()
    await verifier.verify(token)
    assert numbers(counts) == (1, 2)


async def test_an_unknown_scim_token_is_a_hit_the_second_time() -> None:
    counts = CacheCounts("answers")
    unknown = httpx.MockTransport(lambda _: httpx.Response(200, json={"active": False}))
    remote = RemoteTokens(httpx.AsyncClient(transport=unknown), "http://users", "me", "secret", counts=counts)
    token = make(SCIM_TOKEN, "acme")
    for expected in ((0, 1), (1, 1)):
        assert await remote.find(token) is None
        assert numbers(counts) == expected


async def test_credentials_with_a_valid_token_are_a_hit() -> None:
    counts = CacheCounts("clients")
    issuing = httpx.MockTransport(lambda _: httpx.Response(200, json={"access_token": "t", "expires_in": 600}))
    tokens = ClientTokens(lambda: httpx.AsyncClient(transport=issuing), "http://users", counts=counts)
    for expected in ((0, 1), (1, 1)):
        assert await tokens.exchange("YWNtZS5hOmI=", None) == "t"
        assert numbers(counts) == expected


def test_caches_are_exported_also_those_that_are_added_later(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(metrics, "get_meter", MeterProvider([reader]).get_meter)
    caches: list[CacheCounts] = []
    observe_caches(caches)
    caches.append(CacheCounts("answers", hits=3, misses=1))
    found = reader.get_metrics_data()
    assert found is not None
    [metric] = found.resource_metrics[0].scope_metrics[0].metrics
    points = [one for one in metric.data.data_points if isinstance(one, NumberDataPoint)]
    shown = {(str((one.attributes or {})["cache"]), str((one.attributes or {})["result"])): one.value for one in points}
    assert (metric.name, shown) == ("quartet.cache.requests", {("answers", "hit"): 3, ("answers", "miss"): 1})
