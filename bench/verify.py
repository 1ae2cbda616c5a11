"""Verification: what it costs to check an access token that was seen before, one that was not, and one that is forged.

Run `.venv/bin/python bench/verify.py`. No server is needed. The check for revocation is the real one, with 1,000
revocations in memory; of each kind of token so many are checked one after the other, each timed.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt

from quartet_common.auth.revocations import revocation
from quartet_common.auth.tokens import TokenVerifier
from quartet_common.errors import UnauthorizedError
from quartet_testing.revocations import fresh_list
from quartet_testing.tokens import TokenFactory

ISSUER = "https://id.example.com"
SEEN = 100_000
NEW = 3_000


async def timed(verifier: TokenVerifier, tokens: Sequence[str]) -> list[float]:
    """Microseconds that each took, sorted."""
    took = []
    for token in tokens:
        copy = "".join((token[:1], token[1:]))  # each request has a text of its own, of which no hash is kept
        begun = time.perf_counter_ns()
        with suppress(UnauthorizedError):
            await verifier.verify(copy)
        took.append((time.perf_counter_ns() - begun) / 1000)
    return sorted(took)


def row(name: str, took: list[float]) -> None:
    """Print one line."""
    p99 = took[len(took) * 99 // 100]
    print(f"{name:<34}{len(took):>8}{statistics.median(took):>10.1f}{p99:>10.1f}{took[-1]:>10.0f}")


async def measure() -> None:
    """All kinds of tokens."""
    factory = TokenFactory(ISSUER)
    now = datetime.now(UTC)
    listed = await fresh_list(*(revocation("acme", "session", f"{number}", now) for number in range(1000)))
    verifier = TokenVerifier(ISSUER, factory.find_key, revoked=listed.reason)
    scopes = ["users:read", "users:write", "groups:read", "groups:write"]
    common: dict[str, Any] = {"sid": "01a2046c-4531-744c-8f2c-3eff55c91727", "auth_time": int(time.time())}
    fresh = [factory.token("acme", scopes, jti=f"t{number}", **common) for number in range(NEW)]
    forged = [TokenFactory(ISSUER).token("acme", scopes, jti=f"f{number}") for number in range(NEW)]
    revoked = factory.token("acme", scopes, sid="7")
    print(f"a token of {len(fresh[0])} characters")
    print(f"{'us':<34}{'tokens':>8}{'p50':>10}{'p99':>10}{'max':>10}")
    row("new", await timed(verifier, fresh))
    row("seen, one client", await timed(verifier, [fresh[0]] * SEEN))
    row("seen, 3,000 clients in turn", await timed(verifier, fresh * (SEEN // NEW)))
    await timed(verifier, [revoked])
    row("seen and revoked", await timed(verifier, [revoked] * NEW))
    row("forged", await timed(verifier, forged))
    row("no token at all", await timed(verifier, ["x" * 600] * NEW))
    begun = time.perf_counter()
    for token in fresh[:500]:
        jwt.decode(token, factory.key, algorithms=["ES256"])
    print(f"joserfc's own jwt.decode, for comparison: {(time.perf_counter() - begun) / 500 * 1e6:.0f} us")


if __name__ == "__main__":
    asyncio.run(measure())
