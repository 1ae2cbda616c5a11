"""The rules for origins: their one form (RFC 6454), and those that no tenant can allow; no I/O but the list of public
suffixes, which the package publicsuffixlist has.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from uuid import UUID

import idna
from publicsuffixlist import PublicSuffixList

from quartet_common.core.errors import BadRequestError, ServiceError
from quartet_common.core.validation_messages import shown

MAX_ORIGINS = 50
"""The maximum number of origins of a tenant; each event has all of them."""
MAX_LENGTH = 300
"""The maximum length of an origin as it is sent, in characters."""
MAX_NAME = 253
"""The maximum length of a DNS name without the final dot (RFC 1035 section 3.1)."""
DEFAULT_PORTS = {"http": 80, "https": 443}
WILDCARD = "*."

SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[^\]]*\]|[^/?#@:\[\]\s\\]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label by which a browser reads a host as an IPv4 address (WHATWG URL, ends-in-a-number checker)."""


@dataclass(frozen=True)
class Origin:
    """An origin that a tenant has allowed."""

    id: UUID
    origin: str
    created_at: datetime
    created_by: str


class BadOriginError(BadRequestError):
    """400: not an origin, or one that no tenant can allow."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"origin {problem}; got {shown(origin)}.", "bad_origin")


def normalise(origin: str) -> str:
    """The form in which browsers send `origin`: lower case, the host in ASCII (IDNA), without the default port.

    A first label `*` of an https origin stays: it stands for one or more labels. Raises BadOriginError.
    """
    found = SHAPE.fullmatch(origin)
    if found is None:
        raise BadOriginError(
            origin, "must be scheme://host or scheme://host:port, such as https://app.example.com, without a path"
        )
    scheme, host, port = found[1].lower(), found[2], int(found[3] or 0)
    if scheme not in DEFAULT_PORTS:
        raise BadOriginError(origin, "must begin with https:// or http://")
    if found[3] is not None and not 0 < port <= 65535:
        raise BadOriginError(origin, "must have a port from 1 to 65535")
    name = _wildcard(origin, scheme, host) if host.startswith("*") else _host(origin, host)
    return f"{scheme}://{name}" + (f":{port}" if port not in {0, DEFAULT_PORTS[scheme]} else "")


def require_new(origin: str, known: list[Origin]) -> None:
    """Raises ServiceError 409 if the tenant has allowed `origin`, or has too many origins."""
    if any(one.origin == origin for one in known):
        raise ServiceError(409, "origin_exists", f"The tenant has allowed {origin} already.")
    if len(known) >= MAX_ORIGINS:
        raise ServiceError(
            409,
            "too_many_origins",
            f"A tenant has at most {MAX_ORIGINS} origins. Remove one, or use https://*.<domain>.",
        )


def _wildcard(origin: str, scheme: str, host: str) -> str:
    if not host.startswith(WILDCARD) or scheme != "https":
        raise BadOriginError(
            origin, "can have * only as the whole first label of an https origin: https://*.example.com"
        )
    domain = _host(origin, host.removeprefix(WILDCARD))
    if domain.startswith("[") or NUMBER.fullmatch(domain.rpartition(".")[2]):
        raise BadOriginError(origin, "cannot have * before an IP address")
    if _public_suffixes().is_public(domain):
        raise BadOriginError(
            origin, f"has * below {domain}, where anyone can register names (https://publicsuffix.org). Name the domain"
        )
    return WILDCARD + domain


def _host(origin: str, text: str) -> str:
    if text.startswith("["):
        return _ipv6(origin, text[1:-1])
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        raise BadOriginError(origin, f"has a host that is no domain name (IDNA: {error})") from None
    labels = name.split(".")
    if NUMBER.fullmatch(labels[-1]):
        return _ipv4(origin, name)
    if len(name) > MAX_NAME or not all(LABEL.fullmatch(label) for label in labels):
        raise BadOriginError(origin, "has a host that is no domain name")
    return name


def _ipv4(origin: str, text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise BadOriginError(origin, "must have an IPv4 address as four decimal numbers") from None


def _ipv6(origin: str, text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise BadOriginError(origin, "has no IPv6 address between [ and ]") from None
    if address.ipv4_mapped is not None or address.scope_id is not None:
        raise BadOriginError(origin, "cannot have an IPv6 address with a zone or an IPv4 address in it")
    return f"[{address.compressed}]"


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()
