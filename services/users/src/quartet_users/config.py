"""Configuration of the users service: the common settings, the master key and the clients of the configuration."""

from pathlib import Path
from typing import Annotated, ClassVar

import orjson
from pydantic import BaseModel, Field, RootModel, SecretStr, field_validator
from pydantic_settings import NoDecode

from quartet_common.auth.scopes import SCOPES
from quartet_common.config.master_key import MasterKey
from quartet_common.config.rate_limit import Limit, Setting
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.identifiers import TENANT_ID

MIN_LENGTH = 15
"""Characters (code points) of a password that is the only factor (NIST SP 800-63B-4 section 3.1.1.2)."""
LEAST_LENGTH = 8
"""The minimum of QUARTET_PASSWORD_MIN_LENGTH: the limit for passwords with a second factor (the same section)."""


class BootstrapClient(BaseModel, frozen=True):
    """An API client of the configuration: those of the launcher and of the services."""

    client_id: str = Field(min_length=1, max_length=128)
    client_secret: SecretStr
    scopes: frozenset[str]
    tenants: frozenset[str]

    @field_validator("scopes")
    @classmethod
    def _known(cls, scopes: frozenset[str]) -> frozenset[str]:
        unknown = scopes - SCOPES
        if unknown:
            raise ValueError(f"unknown scopes: {', '.join(sorted(unknown))}")
        return scopes

    @field_validator("client_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < 16:
            raise ValueError("a client secret has at least 16 characters")
        return secret


class BootstrapClients(RootModel[tuple[BootstrapClient, ...]], frozen=True):
    """The JSON list in the secret."""

    @property
    def clients(self) -> tuple[BootstrapClient, ...]:
        """The clients of the list."""
        return self.root


class UsersConfig(ServiceConfig):
    """Settings of the users service."""

    service: ClassVar[str] = "users"

    max_body_bytes: int = 8 * 1024 * 1024
    """A Bulk request with 1,000 users of 8 kB each; ServiceProviderConfig has it as maxPayloadSize."""
    max_user_bytes: int = Field(
        default=512 * 1024, ge=16 * 1024, le=8 * 1024 * 1024, description="bytes that one user may have as stored"
    )
    users_url: str = ""
    groups_url: str = Field(default="", description="where the groups service answers; empty where there is none")
    master_key: MasterKey
    bootstrap_clients: Annotated[BootstrapClients, NoDecode]
    bootstrap_tenants: Annotated[tuple[str, ...], NoDecode] = ("default",)
    """Tenants that the api creates at its start, in addition to the platform's, for installations with one tenant."""
    limit_logins: Setting = Limit(50, 3600)
    limit_secrets: Setting = Limit(20, 600)
    key_lifetime: int = Field(default=90, ge=1, le=3650, description="days after which another key signs the tokens")
    token_lifetime: int = Field(default=600, ge=60, le=3600, description="seconds that an access token is valid")
    session_lifetime: int = Field(default=30 * 86400, ge=3600, description="seconds until one has to log in again")
    session_idle: int = Field(default=7 * 86400, ge=3600, description="seconds after which an unused session is over")
    password_min_length: int = Field(default=MIN_LENGTH, ge=LEAST_LENGTH, le=64, description="characters")
    password_threads: int = Field(default=1, ge=1, le=64, description="passwords that are hashed at the same time")
    breached_passwords: Path | None = Field(default=None, description="a list of passwords that are refused")

    @field_validator("breached_passwords")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("there is no such file")
        return path

    @field_validator("bootstrap_tenants", mode="before")
    @classmethod
    def _read_tenants(cls, value: object) -> object:
        return orjson.loads(value) if isinstance(value, str) else value

    @field_validator("bootstrap_tenants")
    @classmethod
    def _are_tenants(cls, tenants: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [tenant for tenant in tenants if TENANT_ID.fullmatch(tenant) is None]
        if wrong:
            raise ValueError("a tenant is 1 to 63 lower-case letters, digits and inner hyphens")
        return tenants

    @field_validator("bootstrap_clients", mode="before")
    @classmethod
    def _read_clients(cls, value: object) -> object:
        if isinstance(value, str):
            return BootstrapClients.model_validate_json(value)
        return value
