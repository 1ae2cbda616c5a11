"""Configuration of the audit service: what every service has, and what its logs need."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, Field, FilePath, field_validator
from pydantic_settings import NoDecode

from quartet_audit.note_domain import ED25519_COSIGNATURE, ML_DSA_44, MalformedNoteError, VerifierKey
from quartet_common.config.master_key import MasterKey
from quartet_common.config.settings import ServiceConfig

LOOPBACK = ("127.0.0.1", "localhost")
NETWORKS_RULE = 'must be JSON such as ["10.1.0.0/16", "fd00:1::/64"]'
WITNESSES_RULE = 'must be JSON such as [{"url": "https://witness.example.com", "vkey": "witness.example.com+..."}]'


class Witness(BaseModel, frozen=True):
    """A witness (C2SP tlog-witness): its submission prefix, and the verifier key of its cosignatures."""

    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    vkey: str

    @field_validator("vkey")
    @classmethod
    def _cosigns(cls, vkey: str) -> str:
        try:
            key = VerifierKey.decode(vkey)
        except MalformedNoteError as error:
            raise ValueError(str(error)) from error
        if key.type not in (ED25519_COSIGNATURE, ML_DSA_44):
            raise ValueError(f"a witness has a key of type 0x04 or 0x06, got {key.type:#04x}")
        return vkey


class AuditConfig(ServiceConfig):
    """The settings of the audit service."""

    service: ClassVar[str] = "audit"

    max_body_bytes: int = 8 * 1024 * 1024
    master_key: MasterKey
    read_window: float = Field(default=300.0, gt=0, description="seconds that one entry of reads of a log covers")
    checkpoint_file: Path | None = Field(
        default=None,
        description="receives each checkpoint of the deployment log, for a restored database to be noticed",
    )
    checkpoint_webhook: str | None = Field(
        default=None,
        description="receives each checkpoint of the deployment log by POST: an https URL, or http on this machine",
    )
    accept_log_size: int | None = Field(
        default=None,
        ge=0,
        description="leaves of a deployment log that is signed although it is older than a checkpoint",
    )
    witnesses: Annotated[tuple[Witness, ...], NoDecode] = ()
    """Cosign the checkpoints of the deployment log."""
    stream_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that are not public, to which streams may connect all the same."""
    stream_ca: FilePath | None = Field(
        default=None, description="certificate authorities that streams trust in addition to public ones, as PEM"
    )
    stream_dir: Path | None = Field(
        default=None, description="folder with a folder for each tenant, into which streams may write files"
    )

    @field_validator("checkpoint_webhook")
    @classmethod
    def _is_https(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://unset")
        has_more = "@" in parts.netloc or parts.fragment or any(one <= " " for one in url or "")
        is_allowed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_allowed or not parts.hostname or has_more:
            raise ValueError("must be a URL such as https://receiver.example.com/checkpoints; http only to 127.0.0.1")
        return url

    @field_validator("witnesses", mode="before")
    @classmethod
    def _read_witnesses(cls, value: Any) -> Any:
        try:
            return orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError:
            raise ValueError(WITNESSES_RULE) from None

    @field_validator("stream_networks", mode="before")
    @classmethod
    def _read_networks(cls, value: Any) -> Any:
        try:
            found = orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, list | tuple):
            raise ValueError(NETWORKS_RULE)
        return tuple(ip_network(str(one)) for one in found)
