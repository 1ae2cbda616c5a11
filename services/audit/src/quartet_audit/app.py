"""The audit service: its HTTP application, its subscriptions and its schedules."""

from quartet_audit.config import AuditConfig
from quartet_audit.erasure import ERASURE
from quartet_audit.subscriptions import subscriptions
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.process import Service, create_app_of

SERVICE = Service(
    package="quartet_audit",
    config_class=AuditConfig,
    create_app=create_app_of("quartet_audit.api"),
    subscriptions=subscriptions,
    schedules=lambda container: [tenant_deletion.erasing(container, ERASURE)],
)
