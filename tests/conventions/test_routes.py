"""The route map: every route needs a scope that exists, or stands here by name."""

import ast
import inspect
import re
from importlib import import_module

import pytest
from quart import Quart

from quartet_cli.layout import SERVICES
from quartet_common.auth.scopes import SCOPES
from quartet_common.web.bodies import ANY_SIZE, SMALL_BODY, body_limit
from quartet_common.web.guard import is_public, lets_people_in, scopes_of
from quartet_common.web.idempotency import is_idempotent

PUBLIC_EVERYWHERE = {"health.live", "health.ready", "docs.page", "docs.asset", "openapi", "asyncapi"}
PUBLIC = {
    "users": {
        "oauth.token",  # how one gets a token
        "metadata.jwks",  # how tokens are checked
        "metadata.server",  # what a client reads before it has a token (RFC 8414)
        "logins.log_in",  # how people get one
        "token_status.introspect",  # asked by clients, with their own credentials
        "token_status.revoke",
        "discovery.config_document",  # what a SCIM client reads before it has a token (RFC 7644 section 4)
        "discovery.all_types",
        "discovery.one_type",
        "discovery.all_schema_documents",
        "discovery.one_schema",
    },
    "groups": set(),
    "audit": {
        "log.deployment_checkpoint",  # the log of all tenants names none, and is for witnesses
        "log.deployment_tile",
        "log_keys.deployment",  # public keys
    },
    "metrics": set(),
}
"""Whoever makes a route public writes it down here."""

PREFIXES = {
    "users": ("/users/", "/oauth2/", "/.well-known/", "/scim/v2/"),
    "groups": ("/groups/", "/scim/v2/Groups"),
    "audit": ("/audit/",),
    "metrics": ("/metrics/",),
}
"""What the proxy sends to each service."""

OF_PEOPLE = {"scim.read_me", "logins.change_password", "sessions.list_", "sessions.end", "sessions.end_all"}
"""Routes that let people in without a scope, to what is their own; each is tried as somebody else in its own tests."""


NOT_CREATING = {
    "rabbitmq.pause": "a paused consumer stays paused",
    "rabbitmq.resume": "a consumer that takes events goes on",
    "dead_letters.discard": "deletes what is there: nothing the second time",
    "dead_letters.cancel_redrive": "a cancelled redrive stays cancelled",
    "archives.restore": "lines that are stored change nothing again",
    "rabbitmq.replay": "the inbox of consumers skips what it has",
    "streams.pause": "a paused stream stays paused",
    "streams.resume": "a running stream stays running",
    "privileges.mark": "marks what may be marked already",
    "membership.check_many": "reads",
    "bulk.carry_out": "is called by users, whose Bulk has the key",
    "search.groups_by_post": "reads",
    "internal_search.groups_among_others": "reads",
    "prometheus.query_by_form": "reads",
    "prometheus.query_range_by_form": "reads",
    "prometheus.series_by_form": "reads",
    "prometheus.labels_by_form": "reads",
    "engine.rebuild": "writes the same samples again",
    "reconciliation.reconcile": "a drift is corrected once",
    "imports.import_": "an imported line changes nothing again",
    "totals.read": "reads",
    "ingest.take_otlp": "equal samples count once, and a delta is known by its time",
    "ingest.take_remote_write": "equal samples count once",
    "logins.log_in": "is limited by the lockout",
    "logins.change_password": "needs the password before",
    "token_status.introspect": "reads",
    "token_status.revoke": "a revoked token stays revoked",
    "oauth.token": "each token is another one",
    "scim.create_me": "is not supported",
    "internal.lookup": "reads",
    "internal.group_scopes": "reads",
    "search.users_by_post": "reads",
    "search.everything_by_post": "reads",
    "tenants.suspend": "a suspended tenant stays suspended",
    "tenants.resume": "an active tenant stays active",
    "alerts.dry_run": "stores nothing",
    "jobs.create": "an import that is sent again changes nothing, an export makes another file; both end by themselves",
    "jobs.cancel": "a cancelled job stays cancelled",
}
"""POST routes without Idempotency-Key, and what happens if a request is sent twice."""


@pytest.mark.parametrize("service", SERVICES)
def test_every_post_that_creates_takes_an_idempotency_key(apps: dict[str, Quart], service: str) -> None:
    app = apps[service]
    posts = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    without = {name for name in posts if not is_idempotent(app.view_functions[name])}
    if service == "users":
        assert "bulk.carry_out" not in without
    assert without <= NOT_CREATING.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_needs_a_scope_or_is_public_by_name(apps: dict[str, Quart], service: str) -> None:
    app = apps[service]
    without = set()
    for rule in app.url_map.iter_rules():
        scopes = scopes_of(app.view_functions[rule.endpoint])
        if not scopes and not lets_people_in(app.view_functions[rule.endpoint]):
            without.add(rule.endpoint)
        for scope in scopes:
            assert scope in SCOPES, f"{rule.endpoint} needs the scope {scope}, which nobody can have"
    assert without == PUBLIC_EVERYWHERE | PUBLIC[service]


def test_people_need_no_scope_exactly_where_it_is_written_down(apps: dict[str, Quart]) -> None:
    views = [(name, view) for app in apps.values() for name, view in app.view_functions.items()]
    assert {name for name, view in views if lets_people_in(view)} == OF_PEOPLE


@pytest.mark.parametrize("service", SERVICES)
def test_the_guard_lets_in_without_a_token_exactly_what_is_public_by_name(apps: dict[str, Quart], service: str) -> None:
    app = apps[service]
    let_in = {name for name, view in app.view_functions.items() if is_public(view)}
    assert let_in == PUBLIC_EVERYWHERE | PUBLIC[service]


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_one_that_the_proxy_sends_to_its_service(apps: dict[str, Quart], service: str) -> None:
    for rule in apps[service].url_map.iter_rules():
        path = rule.rule + "/"
        assert path.startswith(PREFIXES[service]), f"{rule.rule} cannot be reached"
        if service == "users":
            assert not path.startswith(PREFIXES["groups"]), f"{rule.rule} is sent to groups"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_is_in_the_openapi_document_with_a_summary(apps: dict[str, Quart], service: str) -> None:
    document = await (await apps[service].test_client().get(f"/{service}/openapi.json")).get_json()
    hidden = {"docs.page", "docs.asset", "openapi", "asyncapi"}
    for rule in apps[service].url_map.iter_rules():
        if rule.endpoint in hidden:
            continue
        path = re.sub("<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert document["paths"][path][method.lower()].get("summary"), f"{method} {path} says nothing"


@pytest.mark.parametrize("service", SERVICES)
def test_every_handler_is_a_function_of_a_module(apps: dict[str, Quart], service: str) -> None:
    for endpoint, view in apps[service].view_functions.items():
        if endpoint not in ("openapi", "asyncapi"):  # it holds the document, which is built once
            assert getattr(import_module(view.__module__), view.__name__) is view, endpoint


@pytest.mark.parametrize("service", SERVICES)
def test_an_app_provides_what_its_handlers_ask_for(apps: dict[str, Quart], service: str) -> None:
    app = apps[service]
    asked = set()
    for module in {import_module(view.__module__) for view in app.view_functions.values()}:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dependency":
                [kind] = node.args
                assert isinstance(kind, ast.Name)
                asked.add(getattr(module, kind.id))
    assert asked
    assert asked - app.extensions.keys() == set()


KB = 1024
LARGER_BODIES = {
    "users": {
        "archives.restore": 4096 * KB,  # lines of an archive
        "scim.create": 2048 * KB,  # four times the largest user
        "scim.replace": 2048 * KB,
        "scim.patch": 2048 * KB,
        "bulk.carry_out": ANY_SIZE,
        "search.users_by_post": 64 * KB,
        "search.everything_by_post": 64 * KB,
        "schemas.create": 256 * KB,  # 100 attributes with their descriptions
        "internal.lookup": 1024 * KB,  # 1,000 ids or names
        "internal.group_scopes": 64 * KB,
        "totals.read": 1024 * KB,  # 20,000 ids
        "jobs.create": 1024 * 1024 * KB,  # QUARTET_UPLOAD_BYTES: stored while it arrives
        "api_clients.create": 64 * KB,  # ten keys with their certificates
        "api_clients.change": 64 * KB,
    },
    "groups": {
        "archives.restore": 4096 * KB,  # lines of an archive
        "jobs.create": 1024 * 1024 * KB,  # QUARTET_UPLOAD_BYTES: stored while it arrives
        "scim.create": ANY_SIZE,  # with members
        "scim.replace": ANY_SIZE,
        "scim.patch": ANY_SIZE,
        "bulk.carry_out": ANY_SIZE,
        "search.groups_by_post": 64 * KB,
        "privileges.mark": 64 * KB,  # 1,000 ids
        "totals.read": 1024 * KB,  # 20,000 ids
        "internal_search.groups_among_others": 128 * KB,
        "membership.check_many": 256 * KB,  # 1,000 checks
    },
    "audit": {
        "archives.restore": 4096 * KB,  # lines of an archive
        "application_events.receive": ANY_SIZE,  # 1,000 events
        "totals.read": 1024 * KB,  # 20,000 ids
    },
    "metrics": {
        "archives.restore": 4096 * KB,  # lines of an archive
        **{  # queries, which may have 16 KiB before they are encoded
            f"prometheus.{name}_by_form": 64 * KB for name in ("query", "query_range", "series", "labels")
        },
        **dict.fromkeys(("ingest.take_otlp", "ingest.take_remote_write"), 4096 * KB),  # thousands of points
        "imports.import_": ANY_SIZE,  # a part of an export
    },
}
"""Routes that take more than SMALL_BODY. Code that needs a larger body writes it down here."""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_body_is_small_but_for_those_of_routes_that_are_written_down(
    apps: dict[str, Quart], service: str
) -> None:
    app = apps[service]
    assert SMALL_BODY == 16 * KB
    async with app.app_context():
        limits = {
            rule.endpoint: body_limit(app.view_functions[rule.endpoint])
            for rule in app.url_map.iter_rules()
            if not (rule.methods or set()).isdisjoint({"POST", "PUT", "PATCH"})
        }
    assert {endpoint: limit for endpoint, limit in limits.items() if limit != SMALL_BODY} == LARGER_BODIES[service]
    assert all(endpoint not in PUBLIC[service] for endpoint in LARGER_BODIES[service])
