"""What a SCIM filter costs before the database is asked: text -> tree -> condition -> SQL, and one document judged.

Run: .venv/bin/python bench/scim_filter.py [--budget MICROSECONDS]
The exit code is 1 when the median of parse + resolve + to_sql of the typical filter passes the budget (60 unless told
otherwise).
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

from quartet_scim.filters import Column, Columns, Kind, Resolver, Sql, matches, parse, to_sql
from quartet_scim.schema import user_resource_type

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ROUNDS = 20_000
COLUMNS: Columns = {
    "id": Column("id", Kind.UUID),
    "userName": Column("user_name_key", Kind.FOLDED),
    "externalId": Column("external_id"),
    "meta.created": Column("created_at", Kind.INSTANT),
    "meta.lastModified": Column("modified_at", Kind.INSTANT),
}
TYPICAL = 'userName sw "bj" and active eq true'
FILTERS = {
    "one comparison": 'userName eq "bjensen@example.com"',
    "typical": TYPICAL,
    "value path": 'emails[type eq "work" and value co "@example.com"]',
    "Entra ID": 'emails[type eq "work"].value eq "bjensen@example.com"',
    "extension": f'{ENTERPRISE}:department eq "Tour Operations"',
    "delta": 'meta.lastModified gt "2026-01-31T09:30:00Z"',
    "six comparisons": (
        'userType eq "Employee" and (emails co "example.com" or emails.value co "example.org") '
        'and not (active eq false or title pr) or name.familyName sw "J"'
    ),
    "a hundred comparisons": " or ".join(f'userName eq "user-{n}@example.com"' for n in range(100)),
}
DOCUMENT = {
    "id": "2819c223-7f76-453a-919d-413861904646",
    "userName": "bjensen@example.com",
    "userType": "Employee",
    "active": True,
    "name": {"familyName": "Jensen"},
    "emails": [{"value": f"{kind}@example.com", "type": kind} for kind in ("work", "home", "other")],
    ENTERPRISE: {"department": "Tour Operations"},
    "meta": {"lastModified": "2026-02-01T00:00:00.000Z"},
}


def microseconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of one call."""
    times = []
    for _ in range(rounds):
        start = perf_counter_ns()
        work()
        times.append((perf_counter_ns() - start) / 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def translated(resolver: Resolver, text: str) -> Sql:
    """The whole way from the text to the SQL."""
    return to_sql(resolver.resolve(parse(text)), COLUMNS)


def main() -> None:
    """Prints the figures; the exit code says whether the budget was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=60.0, help="microseconds for the typical filter")
    budget = parser.parse_args().budget
    resolver = Resolver(user_resource_type())
    print(f"{'median us (p99)':24}{'parse':>18}{'to SQL, whole':>18}{'one document':>18}")
    whole = 0.0
    for name, text in FILTERS.items():
        rounds = ROUNDS // 20 if len(text) > 1000 else ROUNDS
        condition = resolver.resolve(parse(text))
        figures = [
            microseconds(partial(parse, text), rounds),
            microseconds(partial(translated, resolver, text), rounds),
            microseconds(partial(matches, condition, DOCUMENT), rounds),
        ]
        print(f"{name:24}" + "".join(f"{f'{median:.1f} ({p99:.1f})':>18}" for median, p99 in figures))
        if text == TYPICAL:
            whole = figures[1][0]
    sys.exit(int(whole > budget))


if __name__ == "__main__":
    main()
