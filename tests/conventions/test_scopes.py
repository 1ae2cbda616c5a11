"""The scopes: docs/identity.md says which of them each route needs, and is held to it."""

import re
from collections import defaultdict

from quart import Quart

from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_common.auth.scopes import SCOPES
from quartet_common.web.guard import lets_people_in, scopes_of

PAGE = CHECKOUT / "docs/identity.md"
EVERYWHERE = ("/docs", "/openapi.json", "/asyncapi.json", "/health/live", "/health/ready", "/docs/{name}")
"""What each service has under its own prefix, for everybody."""
PERSON = "any person"
PUBLIC = "public"
AS_A_CLIENT = "a client's own credentials"
BY_CREDENTIALS = {"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"}
RESERVED = {
    "privileged:write": "goes with users:write and groups:write: for users and groups that hold other scopes",
}
"""Scopes that no route needs, and why they are there."""


def needed(apps: dict[str, Quart]) -> list[str]:
    """The rows of the table, as they must stand in it."""
    methods: dict[tuple[str, str], set[str]] = defaultdict(set)
    for service in SERVICES:
        app = apps[service]
        for rule in app.url_map.iter_rules():
            path = re.sub("<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule)
            if path.removeprefix(f"/{service}") in EVERYWHERE:
                continue
            view = app.view_functions[rule.endpoint]
            names = [f"`{scope}`" for scope in scopes_of(view)] + [PERSON] * lets_people_in(view)
            what = " or ".join(names) or (AS_A_CLIENT if path in BY_CREDENTIALS else PUBLIC)
            methods[path, what] |= (rule.methods or set()) - {"HEAD", "OPTIONS"}
    return [f"| `{path}` | {', '.join(sorted(verbs))} | {what} |" for (path, what), verbs in sorted(methods.items())]


def test_the_page_lists_the_scope_of_each_route(apps: dict[str, Quart]) -> None:
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `/")]
    assert written == needed(apps), "\n".join(["the table must be", *needed(apps)])


def test_the_page_says_what_each_scope_allows_and_some_route_needs_each(apps: dict[str, Quart]) -> None:
    section = PAGE.read_text().partition("## What a scope allows")[2].partition("\n## ")[0]
    assert {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")} == SCOPES
    used = {scope for app in apps.values() for view in app.view_functions.values() for scope in scopes_of(view)}
    assert used == SCOPES - RESERVED.keys()
