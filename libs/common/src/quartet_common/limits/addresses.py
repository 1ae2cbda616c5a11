"""Addresses: the key by which a client address is counted; a /64 for IPv6, since each subscriber has at least one."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

UNKNOWN = "unknown"


def address_key(address: str | None) -> str:
    """The address itself, or the /64 of an IPv6 address; an IPv4 address in IPv6 is the IPv4 address."""
    if not address:
        return UNKNOWN
    return _network(address) if ":" in address else address


@lru_cache(4096)
def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return UNKNOWN  # all invalid addresses are one
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
