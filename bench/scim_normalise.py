"""What SCIM costs per resource: parse, normalise and dump one 3 kB enterprise user, and render it from its stored text.

Run: .venv/bin/python bench/scim_normalise.py [--budget MICROSECONDS]
The exit code is 1 when the median of parse + normalise + dump passes the budget (100 unless told otherwise).
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Any

import orjson

from quartet_scim.json import dump, parse
from quartet_scim.normalise import Normaliser
from quartet_scim.render import render
from quartet_scim.schema import group_resource_type, user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ROUNDS = 20_000


def enterprise_user() -> bytes:
    """A full enterprise user, about 3 kB of JSON as an identity provider sends it."""
    kinds = ("work", "home", "other")
    document: dict[str, Any] = {
        "schemas": [CORE, ENTERPRISE],
        "externalId": "00u1ero7vZFVEIYLWPBN",
        "userName": "bjensen@example.com",
        "name": {
            "formatted": "Ms. Barbara J Jensen, III",
            "familyName": "Jensen",
            "givenName": "Barbara",
            "middleName": "Jane",
            "honorificPrefix": "Ms.",
            "honorificSuffix": "III",
        },
        "displayName": "Babs Jensen",
        "nickName": "Babs",
        "profileUrl": "https://login.example.com/bjensen",
        "title": "Tour Guide",
        "userType": "Employee",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": True,
        "password": "t1meMa$heen",  # the example of RFC 7643 section 8.2
        "emails": [{"value": f"{kind}@example.com", "type": kind, "primary": kind == "work"} for kind in kinds],
        "phoneNumbers": [{"value": f"tel:+1-201-555-0{n}23", "type": kind} for n, kind in enumerate(kinds)],
        "ims": [{"value": "bjensen", "type": "xmpp"}],
        "photos": [{"value": f"https://photos.example.com/{size}", "type": size} for size in ("photo", "thumbnail")],
        "addresses": [
            {
                "type": kind,
                "streetAddress": "100 Universal City Plaza",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "US",
                "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA",
            }
            for kind in kinds
        ],
        "entitlements": [{"value": f"entitlement-{n}", "display": f"Entitlement {n}"} for n in range(3)],
        "roles": [{"value": "tour-guide", "display": "Tour guide", "primary": True}, {"value": "auditor"}],
        "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAw" * 16}],
        ENTERPRISE: {
            "employeeNumber": "701984",
            "costCenter": "4130",
            "organization": "Universal Studios",
            "division": "Theme Park",
            "department": "Tour Operations",
            "manager": {"value": "26118915-6090-4610-87e4-49d8ca9f808d", "displayName": "John Smith"},
        },
    }
    return orjson.dumps(document)


def group(members: int) -> bytes:
    """A group as a client sends it, with so many members."""
    ids = [{"value": f"26118915-6090-4610-87e4-{n:012d}", "display": f"User {n}"} for n in range(members)]
    return orjson.dumps({"schemas": [GROUP], "displayName": "Tour Guides", "members": ids})


def microseconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of one call."""
    times = []
    for _ in range(rounds):
        start = perf_counter_ns()
        work()
        times.append((perf_counter_ns() - start) / 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def measures() -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, by name, with how often."""
    users, groups = Normaliser(user_resource_type()), Normaliser(group_resource_type())
    body, large = enterprise_user(), group(1_000)
    payload = parse(body)
    normalised = users.normalise(payload)
    stored = dump(normalised.attributes)
    moment = datetime.now(UTC)

    def rendered() -> bytes:
        return render(
            stored,
            id="2819c223-7f76-453a-919d-413861904646",
            resource_type="User",
            created=moment,
            modified=moment,
            version=3,
            location="https://example.com/scim/v2/Users/2819c223-7f76-453a-919d-413861904646",
        )

    return {
        f"parse {len(body)} bytes": (lambda: parse(body), ROUNDS),
        "normalise": (lambda: users.normalise(payload), ROUNDS),
        "dump": (lambda: dump(normalised.attributes), ROUNDS),
        "parse + normalise + dump": (lambda: dump(users.normalise(parse(body)).attributes), ROUNDS),
        "render from the stored text": (rendered, ROUNDS),
        "group of 1,000: parse + normalise": (lambda: groups.normalise(parse(large)), 300),
        "compile the rules": (lambda: Normaliser(user_resource_type()), 100),
    }


def main() -> None:
    """Prints the figures; the exit code says whether the budget was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=100.0, help="microseconds for parse + normalise + dump")
    budget = parser.parse_args().budget
    print(f"{'':36}{'median us':>12}{'p99 us':>12}")
    whole = 0.0
    for name, (work, rounds) in measures().items():
        median, p99 = microseconds(work, rounds)
        print(f"{name:36}{median:12.1f}{p99:12.1f}")
        if name == "parse + normalise + dump":
            whole = median
    sys.exit(int(whole > budget))


if __name__ == "__main__":
    main()
