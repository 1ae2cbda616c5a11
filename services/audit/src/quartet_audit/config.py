"""Configuration: the audit service needs nothing beyond what every service has."""

from typing import ClassVar

from quartet_common.config.settings import ServiceConfig


class AuditConfig(ServiceConfig):
    """The settings of the audit service."""

    service: ClassVar[str] = "audit"
