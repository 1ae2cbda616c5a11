"""Tenants, route by route: nothing of one can be seen, changed or guessed by another."""

from collections.abc import AsyncIterator

import pytest
from quart import Quart

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.isolation.directory import (
    a_bulk_reaches_nothing_foreign,
    a_schema_is_not_deleted,
    a_schema_is_not_read,
    a_user_is_not_deleted,
    a_user_is_not_patched,
    a_user_is_not_read,
    a_user_is_not_replaced,
    everything_is_listed_apart,
    everything_is_searched_apart,
    groups_are_searched_apart,
    groups_are_searched_apart_by_services,
    schemas_are_discovered_apart,
    schemas_are_listed_apart,
    schemas_are_registered_apart,
    users_are_created_apart,
    users_are_listed_apart,
    users_are_looked_up_apart,
    users_are_searched_apart,
)
from quartet_testing.isolation.groups import (
    a_group_is_not_deleted,
    a_group_is_not_patched,
    a_group_is_not_read,
    a_group_is_not_replaced,
    group_operations_of_a_bulk_are_apart,
    groups_are_listed_apart,
    groups_are_marked_apart,
    groups_of_a_user_are_listed_apart,
    groups_take_no_foreign_members,
    members_are_paged_apart,
    memberships_are_checked_apart,
    memberships_are_checked_apart_in_batches,
)
from quartet_testing.isolation.jobs import (
    a_job_is_not_touched,
    jobs_are_listed_apart,
    jobs_are_made_apart,
)
from quartet_testing.isolation.machines import (
    a_client_is_not_touched,
    a_scim_token_is_not_read,
    a_scim_token_is_not_revoked,
    clients_are_listed_apart,
    clients_are_made_apart,
    scim_tokens_are_listed_apart,
    scim_tokens_are_made_apart,
    tokens_are_told_of_and_ended_apart,
)
from quartet_testing.isolation.origins import (
    an_origin_is_not_read,
    an_origin_is_not_removed,
    origins_are_allowed_apart,
    origins_are_listed_apart,
)
from quartet_testing.isolation.people import (
    people_log_in_apart,
    people_read_and_change_only_themselves,
    sessions_are_apart,
)
from quartet_testing.isolation.records import (
    ALERT_ROUTES,
    PROMETHEUS_ROUTES,
    STREAM_ROUTES,
    a_log_is_not_read,
    a_stream_is_not_touched,
    alerts_are_apart,
    an_entry_is_not_proven,
    an_entry_is_not_read,
    an_erasure_is_not_read,
    counts_are_apart,
    dead_letters_are_apart,
    dead_letters_are_discarded_apart,
    dead_letters_are_redriven_apart,
    entries_are_counted_apart,
    entries_are_listed_apart,
    erasures_leave_others_alone,
    events_are_replayed_apart,
    events_of_applications_are_apart,
    exports_are_apart,
    legal_holds_are_apart,
    log_exports_are_apart,
    points_are_apart,
    retentions_are_apart,
    series_are_apart,
    streams_are_apart,
    tails_are_apart,
    totals_are_apart,
)
from quartet_testing.isolation.roles import (
    a_role_is_not_changed,
    a_role_is_not_deleted,
    a_role_is_not_given,
    a_role_is_not_read,
    a_role_is_not_taken,
    roles_are_listed_apart,
    roles_are_made_apart,
    roles_of_a_user_are_not_listed,
    scopes_of_groups_are_looked_up_apart,
    who_has_a_role_is_not_listed,
)
from quartet_testing.isolation.tenants import tenants_are_the_platforms
from quartet_testing.isolation.world import CLIENT_ROUTES, Check, World, make_world

pytestmark = pytest.mark.local_stack

TENANTLESS = {
    "health.live": "says that the process runs",
    "health.ready": "says which servers answer",
    "docs.page": "is the same for everybody",
    "docs.asset": "is the same for everybody",
    "openapi": "is the same for everybody",
    "asyncapi": "is the same for everybody",
    "discovery.config_document": "is the same for everybody",
    "scim.create_me": "always refuses",
    "oauth.token": "gives tokens for the tenants of the client whose secret was sent",
    "metadata.jwks": "public keys, the same for all tenants",
    "metadata.server": "is the same for everybody",
    "keys.list_": "the platform's, by the scope that exists in its tenant only",
    "keys.rotate": "the platform's, by the scope that exists in its tenant only",
    "rabbitmq.outbox": "a depth and an age over all tenants, nothing of what is in it",
    "rabbitmq.consumers": "whether the service takes events, nothing of what is in them",
    "rabbitmq.pause": "the platform's, by the scope that exists in its tenant only",
    "rabbitmq.resume": "the platform's, by the scope that exists in its tenant only",
    "rabbitmq.queues": "depths over all tenants, nothing of what is in them",
    "metrics.known": "is the same for everybody",
    "engine.read": "the platform's, by the scope that exists in its tenant only",
    "engine.rebuild": "the platform's, by the scope that exists in its tenant only",
    "reconciliation.list_": "the platform's, by the scope that exists in its tenant only",
    "reconciliation.reconcile": "the platform's, by the scope that exists in its tenant only",
    "archives.archive": "the platform's, by the scope that exists in its tenant only",
    "archives.restore": "the platform's, by the scope that exists in its tenant only",
    "imports.import_": "the platform's, by the scope that exists in its tenant only",
    "prometheus.build_info": "is the same for everybody",
    "log.deployment_checkpoint": "is the same for everybody, and names no tenant",
    "log.deployment_tile": "salted hashes, the same for everybody",
    "log_keys.deployment": "public keys, the same for all tenants",
    "log_keys.rotate": "the platform's, by the scope that exists in its tenant only",
}
"""Routes that hold nothing of a tenant, and why."""


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    """The world that the walk goes through."""
    async with make_world(stack) as made:
        yield made


REDRIVE_ROUTES = ("redrive", "redrives", "read_redrive", "cancel_redrive")
EVERYWHERE: dict[str, Check] = {
    "data.export": exports_are_apart,
    **{f"dead_letters.{name}": dead_letters_are_apart for name in ("list_", "counts", "read")},
    **{f"dead_letters.{name}": dead_letters_are_redriven_apart for name in REDRIVE_ROUTES},
    "dead_letters.discard": dead_letters_are_discarded_apart,
    "rabbitmq.replay": events_are_replayed_apart,
}
WITH_JOBS: dict[str, Check] = {
    "jobs.create": jobs_are_made_apart,
    "jobs.list_": jobs_are_listed_apart,
    **dict.fromkeys(("jobs.read", "jobs.report", "jobs.result", "jobs.cancel"), a_job_is_not_touched),
}
HOLD_ROUTES = ("read", "set_", "release", "list_", "release_of")
TENANT_ROUTES = ("create", "list_", "read", "rename", "suspend", "resume", "delete")
CHECKS: dict[str, dict[str, Check]] = {
    "users": {
        "scim.create": users_are_created_apart,
        "search.users": users_are_listed_apart,
        "search.users_by_post": users_are_searched_apart,
        "search.everything": everything_is_listed_apart,
        "search.everything_by_post": everything_is_searched_apart,
        "scim.read": a_user_is_not_read,
        "scim.replace": a_user_is_not_replaced,
        "scim.patch": a_user_is_not_patched,
        "scim.delete": a_user_is_not_deleted,
        "scim.read_me": people_read_and_change_only_themselves,
        "logins.log_in": people_log_in_apart,
        "logins.change_password": people_read_and_change_only_themselves,
        "sessions.list_": sessions_are_apart,
        "sessions.end": sessions_are_apart,
        "sessions.end_all": sessions_are_apart,
        "internal.lookup": users_are_looked_up_apart,
        "internal.group_scopes": scopes_of_groups_are_looked_up_apart,
        "totals.read": totals_are_apart,
        "discovery.all_types": schemas_are_discovered_apart,
        "discovery.one_type": schemas_are_discovered_apart,
        "discovery.all_schema_documents": schemas_are_discovered_apart,
        "discovery.one_schema": schemas_are_discovered_apart,
        "schemas.create": schemas_are_registered_apart,
        "schemas.list_": schemas_are_listed_apart,
        "schemas.read": a_schema_is_not_read,
        "schemas.delete": a_schema_is_not_deleted,
        "api_clients.create": clients_are_made_apart,
        "api_clients.list_": clients_are_listed_apart,
        **{f"api_clients.{name}": a_client_is_not_touched for name in CLIENT_ROUTES},
        "scim_tokens.create": scim_tokens_are_made_apart,
        "scim_tokens.list_": scim_tokens_are_listed_apart,
        "scim_tokens.read": a_scim_token_is_not_read,
        "scim_tokens.revoke": a_scim_token_is_not_revoked,
        "origins.add": origins_are_allowed_apart,
        "origins.list_": origins_are_listed_apart,
        "origins.read": an_origin_is_not_read,
        "origins.remove": an_origin_is_not_removed,
        "token_status.introspect": tokens_are_told_of_and_ended_apart,
        "token_status.revoke": tokens_are_told_of_and_ended_apart,
        "bulk.carry_out": a_bulk_reaches_nothing_foreign,
        **{f"tenants.{name}": tenants_are_the_platforms for name in TENANT_ROUTES},
        "roles.create": roles_are_made_apart,
        "roles.list_": roles_are_listed_apart,
        "roles.read": a_role_is_not_read,
        "roles.change": a_role_is_not_changed,
        "roles.delete": a_role_is_not_deleted,
        "role_grants.list_": who_has_a_role_is_not_listed,
        "role_grants.give": a_role_is_not_given,
        "role_grants.take": a_role_is_not_taken,
        "role_grants.of": roles_of_a_user_are_not_listed,
        **WITH_JOBS,
        **EVERYWHERE,
    },
    "groups": {
        **WITH_JOBS,
        "scim.create": groups_take_no_foreign_members,
        "search.groups": groups_are_listed_apart,
        "search.groups_by_post": groups_are_searched_apart,
        "internal_search.groups_among_others": groups_are_searched_apart_by_services,
        "scim.read": a_group_is_not_read,
        "scim.replace": a_group_is_not_replaced,
        "scim.patch": a_group_is_not_patched,
        "scim.delete": a_group_is_not_deleted,
        "membership.members": members_are_paged_apart,
        "membership.check": memberships_are_checked_apart,
        "membership.check_many": memberships_are_checked_apart_in_batches,
        "membership.of": groups_of_a_user_are_listed_apart,
        "bulk.carry_out": group_operations_of_a_bulk_are_apart,
        "privileges.mark": groups_are_marked_apart,
        "totals.read": totals_are_apart,
        **EVERYWHERE,
    },
    "audit": {
        "export.export": log_exports_are_apart,
        "audit.events": entries_are_listed_apart,
        "audit.event": an_entry_is_not_read,
        "histogram.histogram": entries_are_counted_apart,
        "proofs.proof": an_entry_is_not_proven,
        "proofs.text_proof": an_entry_is_not_proven,
        "log.checkpoint": a_log_is_not_read,
        "log.tile": a_log_is_not_read,
        "log.consistency": a_log_is_not_read,
        "log_keys.of_tenant": a_log_is_not_read,
        "live.live": tails_are_apart,
        "streams.create": streams_are_apart,
        "streams.list_": streams_are_apart,
        **dict.fromkeys([f"streams.{name}" for name in STREAM_ROUTES], a_stream_is_not_touched),
        "erasures.create": erasures_leave_others_alone,
        "erasures.read": an_erasure_is_not_read,
        "retention.read": retentions_are_apart,
        "retention.change": retentions_are_apart,
        **{f"legal_holds.{name}": legal_holds_are_apart for name in HOLD_ROUTES},
        "application_events.receive": events_of_applications_are_apart,
        "totals.read": totals_are_apart,
        **EVERYWHERE,
    },
    "metrics": {
        "metrics.query": counts_are_apart,
        **{f"prometheus.{name}": series_are_apart for name in PROMETHEUS_ROUTES},
        **dict.fromkeys(("ingest.take_otlp", "ingest.take_remote_write", "prometheus.metadata"), points_are_apart),
        **{f"alerts.{name}": alerts_are_apart for name in ALERT_ROUTES},
        **EVERYWHERE,
    },
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_tried_by_a_stranger_or_holds_nothing_of_a_tenant(apps: dict[str, Quart], service: str) -> None:
    endpoints = {rule.endpoint for rule in apps[service].url_map.iter_rules()}
    assert not TENANTLESS.keys() & CHECKS[service].keys()
    assert endpoints - TENANTLESS.keys() == CHECKS[service].keys()


@pytest.mark.parametrize(("service", "endpoint"), [(service, name) for service in SERVICES for name in CHECKS[service]])
async def test_a_stranger_sees_and_changes_nothing(world: World, service: str, endpoint: str) -> None:
    await CHECKS[service][endpoint](world, service)
