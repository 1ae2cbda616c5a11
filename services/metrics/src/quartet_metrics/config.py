"""Configuration of the metrics service: what every service has, the engine, and how long it keeps its numbers."""

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from quartet_common.config.rate_limit import Limit
from quartet_common.config.rate_limit import Setting as RateLimit
from quartet_common.config.settings import ServiceConfig


class MetricsConfig(ServiceConfig):
    """The settings of the metrics service."""

    service: ClassVar[str] = "metrics"

    minute_days: int = Field(default=7, ge=2, le=400, description="days for which amounts of minutes are kept")
    hour_days: int = Field(default=400, ge=2, le=36_500, description="days for which amounts of hours are kept")
    active_user_days: int = Field(
        default=35, ge=31, le=400, description="days for which is kept which users were active on a day"
    )

    groups_url: str = Field(default="", description="where the groups service answers; empty where there is none")
    audit_url: str = Field(default="", description="where the audit service answers; empty where there is none")
    reconciliation_hour: int = Field(
        default=3, ge=0, le=23, description="hour (UTC) at which gauges are compared with users, groups and audit"
    )

    max_body_bytes: int = 4 * 1024 * 1024
    ingest_series: int = Field(
        default=20_000, ge=1, le=10_000_000, description="series that the applications of a tenant may send in an hour"
    )
    ingest_samples: RateLimit = Field(
        default=Limit(500_000, 10), description="samples that the applications of a tenant may send"
    )

    metrics_engine_url: str | None = Field(default=None, description="base URL of a VictoriaMetrics, for queries")
    metrics_engine_write_url: str | None = Field(default=None, description="base URL for writing, if it is another one")
    metrics_engine_user: str = "quartet"
    metrics_engine_password: SecretStr = SecretStr("")

    @field_validator("metrics_engine_url", "metrics_engine_write_url")
    @classmethod
    def _is_a_base_url(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith(("http://", "https://")) or {"?", "#", "@"} & set(value)):
            raise ValueError("must be an http or https URL without query, fragment and credentials")
        return None if value is None else value.rstrip("/")
