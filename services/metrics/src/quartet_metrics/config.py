"""Configuration: the metrics service needs nothing beyond what every service has."""

from typing import ClassVar

from quartet_common.config.settings import ServiceConfig


class MetricsConfig(ServiceConfig):
    """The settings of the metrics service."""

    service: ClassVar[str] = "metrics"
