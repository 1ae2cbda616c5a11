"""The groups service: its HTTP application, its subscriptions and its schedules."""

from quartet_common.jobs import job_runner
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.process import Service, create_app_of
from quartet_groups.config import GroupsConfig
from quartet_groups.imports.group_job_kinds import KINDS
from quartet_groups.subscriptions import subscriptions

SERVICE = Service(
    package="quartet_groups",
    config_class=GroupsConfig,
    create_app=create_app_of("quartet_groups.api"),
    subscriptions=subscriptions,
    schedules=lambda container: [tenant_deletion.erasing(container), *job_runner.schedules(container, KINDS)],
)
