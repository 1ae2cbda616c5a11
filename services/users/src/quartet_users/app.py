"""The users service: its HTTP application, its subscriptions and its schedules."""

from functools import partial

from quartet_common.core.schedule import Schedule
from quartet_common.jobs import job_runner
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, create_app_of
from quartet_users import group_marker_client
from quartet_users.config import UsersConfig
from quartet_users.imports.user_job_kinds import KINDS
from quartet_users.roles import marks, scope_revocation
from quartet_users.sessions import session_ending
from quartet_users.subscriptions import subscriptions
from quartet_users.tokens import key_usecases
from quartet_users.users import name_keys

SESSIONS_INTERVAL = 60.0
"""Seconds between two removals of expired sessions."""


def schedules(container: AppContainer[UsersConfig]) -> list[Schedule]:
    """The schedules of the worker."""
    groups = group_marker_client.GroupMarker(container.service_client("groups", container.config.groups_url))
    return [
        Schedule("key-rotation", key_usecases.ROTATION_INTERVAL, partial(key_usecases.rotate_by_age, container)),
        Schedule("scope-revocation", scope_revocation.INTERVAL, partial(scope_revocation.revoke_remaining, container)),
        Schedule("marks", marks.INTERVAL, partial(marks.mark_granted_groups, container, groups)),
        Schedule("sessions", SESSIONS_INTERVAL, lambda: session_ending.prune(container)),
        *job_runner.schedules(container, KINDS),
        tenant_deletion.erasing(container, tenant_deletion.Erasure(staying={"tenants"})),
    ]


SERVICE = Service(
    package="quartet_users",
    config_class=UsersConfig,
    create_app=create_app_of("quartet_users.api"),
    subscriptions=subscriptions,
    schedules=schedules,
    after_migrations=name_keys.prepare_all,
)
