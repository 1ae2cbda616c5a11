"""What a PATCH costs: three operations as Entra ID sends them on a 3 kB user, the members of a group, a projection.

Run: .venv/bin/python bench/scim_patch.py [--budget MICROSECONDS]
The exit code is 1 when the median of the three operations passes the budget (100 unless told otherwise).
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from scim_normalise import ENTERPRISE, enterprise_user, microseconds

from quartet_scim.errors import ScimError
from quartet_scim.json import parse
from quartet_scim.normalise import Normaliser
from quartet_scim.patch import PATCH_SCHEMA, PatchEngine, parse_patch, split_member_operations
from quartet_scim.projection import Projector
from quartet_scim.schema import user_resource_type

ROUNDS = 10_000


def message(*operations: dict[str, Any]) -> dict[str, Any]:
    """The body of a PATCH."""
    return {"schemas": [PATCH_SCHEMA], "Operations": list(operations)}


ENTRA = message(
    {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "barbara@example.com"},
    {"op": "Replace", "path": "active", "value": "False"},
    {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Tours"},
)
OKTA = message({"op": "replace", "value": {"active": False}})
MEMBERS = message({"op": "add", "path": "members", "value": [{"value": f"id-{n}"} for n in range(1_000)]})
ONE_MEMBER = message({"op": "Remove", "path": 'members[value eq "2819c223-7f76-453a-919d-413861904646"]'})


def measures() -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, by name, with how often."""
    users, engine, projector = (
        Normaliser(user_resource_type()),
        PatchEngine(user_resource_type()),
        Projector(user_resource_type()),
    )
    stored = users.normalise(parse(enterprise_user())).attributes
    large = {**stored, "entitlements": [{"value": f"entitlement-{n}"} for n in range(999)]}
    no_value = {"op": "add", "path": 'entitlements[value co "x"]', "value": None}
    hostile = parse_patch(message(*[no_value] * 1_000))
    growing = parse_patch(message(*({"op": "add", "path": "roles", "value": [{"value": f"r{n}"}]} for n in range(998))))
    return {
        "3 operations of Entra ID": (lambda: engine.apply(stored, parse_patch(ENTRA)), ROUNDS),
        "1 operation of Okta": (lambda: engine.apply(stored, parse_patch(OKTA)), ROUNDS),
        "1 member": (lambda: split_member_operations(parse_patch(ONE_MEMBER)), ROUNDS),
        "1,000 members": (lambda: split_member_operations(parse_patch(MEMBERS)), 100),
        "attributes=userName,emails": (lambda: projector.parse("userName,emails").apply(stored), ROUNDS),
        "998 operations that fill a list": (lambda: engine.apply(stored, growing), 5),
        "1,000 filters of 999 values: refused": (lambda: refused(engine, large, hostile), 5),
        "compile the rules": (lambda: PatchEngine(user_resource_type()), 50),
    }


def refused(engine: PatchEngine, stored: dict[str, Any], operations: list[Any]) -> ScimError:
    """The error that the operations end with."""
    try:
        engine.apply(stored, operations)
    except ScimError as wrong:
        return wrong
    raise AssertionError("the operations were carried out")


def main() -> None:
    """Prints the figures; the exit code says whether the budget was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=100.0, help="microseconds for the three operations")
    budget = parser.parse_args().budget
    print(f"{'':36}{'median us':>12}{'p99 us':>12}")
    passed = False
    for name, (work, rounds) in measures().items():
        median, p99 = microseconds(work, rounds)
        print(f"{name:36}{median:12.1f}{p99:12.1f}")
        passed = passed or (name == "3 operations of Entra ID" and median > budget)
    sys.exit(int(passed))


if __name__ == "__main__":
    main()
