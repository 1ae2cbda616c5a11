"""Configuration: reads `QUARTET_*` variables and secret files, and reports all errors at once."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import orjson
from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from quartet_common.config import server_urls
from quartet_common.config.rate_limit import Limit, Setting
from quartet_common.config.tls_settings import TlsSettings

ENV_PREFIX = "QUARTET_"
DEFAULT_SECRETS_DIR = "/run/secrets"

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
"""RFC 6454 section 6.2; never `null`, the origin of any sandboxed page."""

CONSUMERS: dict[str, tuple[str, ...]] = {
    "users": ("groups.*.*.v1",),
    "groups": ("users.user.*.v1", "users.tenant.deleted.v1"),
    "audit": ("#", "users.tenant.deleted.v1"),
    "metrics": ("#", "users.tenant.deleted.v1"),
    **{
        f"{service}.revocations": ("users.token.revoked.v1", "users.origin.*.v1")
        for service in ("users", "groups", "audit", "metrics")
    },
}
"""The consumers of events: the name of each queue without `quartet.`, and its binding patterns.

Relays declare these queues before they publish, so that an event reaches a stopped consumer, also after RabbitMQ has
lost its data.
"""

MAX_JOURNAL_HOURS = 28 * 24
"""Two days less than `inbox.RETENTION`, for events that wait again after a replay."""

EXAMPLES = {"cors_origins": '["https://app.example.com"]', "consumers": '{"audit": ["#"]}'}
"""Examples of JSON settings for error messages."""

URLS = {
    "database_url": server_urls.read_database_url,
    "redis_url": server_urls.read_redis_url,
    "broker_url": server_urls.read_broker_url,
}
"""The checks of the servers' URLs."""

Secret = Annotated[SecretStr, Field(min_length=1)]
"""A secret; an empty file or variable counts as missing."""


class ServiceConfig(TlsSettings):
    """The settings of every service. A field `x` is read from `QUARTET_X` or from the file `quartet_x` in
    `QUARTET_SECRETS_DIR`; the environment wins. No secret has a default.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    service: ClassVar[str] = ""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    share_port: bool = Field(default=False, description="whether the next process may listen before this one ends")
    private_host: str = "127.0.0.1"
    private_port: int = Field(default=9000, ge=0, le=65535)
    private_token: SecretStr = Field(default=SecretStr(""), description="what /metrics of the private port requires")
    protocol: Literal["http/1.1", "h2"] = "http/1.1"
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    public_url: str = "http://127.0.0.1:8080"

    database_url: str
    database_password: Secret
    database_pool_min: int = Field(default=1, ge=0)
    database_pool_max: int = Field(default=10, ge=1)
    database_timeout: float = Field(default=5.0, gt=0, description="seconds one statement may take")
    query_timeout: float = Field(default=2.0, gt=0, description="seconds a search of a client's own making may take")
    database_acquire_timeout: float = Field(default=0.8, gt=0, description="seconds to wait for a connection")
    redis_url: str
    redis_password: Secret
    redis_sentinel_password: SecretStr = Field(default=SecretStr(""), description="what the sentinels require")
    broker_url: str
    broker_password: Secret
    consumers: Annotated[dict[str, tuple[str, ...]], NoDecode] = CONSUMERS
    journal_hours: float = Field(default=24.0, ge=0, description="hours for which published events can be replayed")
    repair_queues: bool = Field(default=False, description="whether queues that RabbitMQ refuses to serve are deleted")

    users_url: str
    client_secret: Secret

    cors_origins: Annotated[list[str], NoDecode] = Field(default=[])
    export_dir: Path = Field(default=Path("/var/tmp"), description="where exports wait for clients that read slowly")  # noqa: S108  # nosec B108  # their files have no names
    export_bytes: int = Field(
        default=256 * 1024 * 1024, ge=16 * 1024 * 1024, description="of disk that one export uses"
    )
    upload_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024 * 1024, description="bytes of a file that is uploaded for a job"
    )
    job_days: int = Field(default=7, ge=1, le=365, description="days after which ended jobs are removed")
    max_body_bytes: int = Field(default=1024 * 1024, ge=1)
    max_bytes_in_flight: int = Field(
        default=96 * 1024 * 1024,
        ge=24 * 1024 * 1024,
        description="bytes that large bodies and responses may take at a time; a tenant may use a third",
    )
    refusal_window: float = Field(default=5.0, gt=0, description="seconds that one summary of 401 answers covers")
    limit_client: Setting = Limit(2_000, 10)
    limit_user: Setting = Limit(300, 10)
    limit_address: Setting = Limit(600, 10)
    limit_refused: Setting = Limit(100, 60)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otlp_endpoint: str | None = None
    trace_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    shutdown_timeout: float = Field(default=10.0, gt=0, description="seconds that running work may take to finish")

    @field_validator(*URLS)
    @classmethod
    def _is_url_of_a_server(cls, value: str, info: ValidationInfo) -> str:
        URLS[info.field_name or ""](value)
        return value

    @field_validator("cors_origins", "consumers", mode="before")
    @classmethod
    def _read_json(cls, value: Any, info: ValidationInfo) -> Any:
        # not by pydantic-settings, which would stop at invalid JSON without reporting the other errors
        try:
            return orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError:
            raise ValueError(f"must be JSON such as {EXAMPLES[info.field_name or '']}") from None

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        for one in value:
            if one != "*" and ORIGIN.fullmatch(one) is None:
                raise ValueError("must be origins such as https://app.example.com, or *")
        return value

    @field_validator("journal_hours")
    @classmethod
    def _is_shorter_than_the_inbox(cls, value: float) -> float:
        if value > MAX_JOURNAL_HOURS:
            raise ValueError(
                f"must be at most {MAX_JOURNAL_HOURS} (28 days): consumers know for 30 days which events they have had,"
                " and older ones would have a second effect when they are published again"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _is_an_origin(cls, value: str) -> str:
        if ORIGIN.fullmatch(value.rstrip("/").lower()) is None:
            raise ValueError("must be scheme://host or scheme://host:port, without a path")
        return value

    @model_validator(mode="after")
    def _pool_has_a_range(self) -> "ServiceConfig":
        if self.database_pool_min > self.database_pool_max:
            raise ValueError("QUARTET_DATABASE_POOL_MIN must not be larger than QUARTET_DATABASE_POOL_MAX")
        return self

    @property
    def client_id(self) -> str:
        """The id of the service's own API client."""
        return f"quartet-{self.service}"

    @property
    def issuer(self) -> str:
        """The `iss` of access tokens (RFC 9068 section 2.2)."""
        return self.public_url.rstrip("/")


C = TypeVar("C", bound=ServiceConfig)


def read_config(config_class: type[C]) -> C:
    """Read `config_class` from the environment and the secrets directory.

    Raises pydantic's ValidationError with every missing or invalid setting.
    """
    secrets_dir = Path(os.environ.get("QUARTET_SECRETS_DIR", DEFAULT_SECRETS_DIR))
    return config_class(_secrets_dir=secrets_dir if secrets_dir.is_dir() else None)  # type: ignore[call-arg]  # pydantic-settings' own


def load_config(config_class: type[C]) -> C:
    """Read `config_class`; on errors print every missing or invalid setting by name and exit with code 2."""
    try:
        return read_config(config_class)
    except ValidationError as error:
        sys.stderr.write(describe(error, config_class))
        raise SystemExit(2) from None


def describe(error: ValidationError, config_class: type[ServiceConfig]) -> str:
    """One line per invalid setting: its variable, the error, and its value unless it may contain a secret."""
    lines = [f"quartet-{config_class.service}: invalid configuration:"]
    for item in error.errors(include_url=False, include_context=False):
        names = [str(part) for part in item["loc"]]
        if not names:
            lines.append(f"  {item['msg'].removeprefix('Value error, ')}")
            continue
        name = ENV_PREFIX + names[0].upper()
        where = ".".join([name, *names[1:]])
        if item["type"] != "missing":
            reason = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            shown = "" if _may_hold_secret(config_class, names[0], item["input"]) else f", got {item['input']!r}"
            lines.append(f"  {where}: {reason.partition(', unable to parse')[0]}{shown}")
        elif where != name:  # the setting exists but lacks a member
            lines.append(f"  {where}: missing")
        else:
            lines.append(f"  {name}: missing. Set it, or put the file {name.lower()} into QUARTET_SECRETS_DIR")
    return "\n".join(lines) + "\n"


def _may_hold_secret(config_class: type[ServiceConfig], field: str, value: object) -> bool:
    """Whether a value must not be shown: a secret, a document with secrets, or a URL with a password."""
    kind = config_class.model_fields[field].annotation
    return (isinstance(kind, type) and issubclass(kind, SecretStr | BaseModel)) or "@" in str(value)
