"""Addresses that streams may connect to: public ones, and the networks that the operator allows."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All IPv6 addresses that are routed publicly (RFC 4291 section 2.4). Translated ones (64:ff9b::/96) are not in it."""
SIX_TO_FOUR = IPv6Network("2002::/16")
"""Addresses that contain an IPv4 address (RFC 3056), which may be private."""


class RefusedAddressError(Exception):
    """A host has an address to which streams do not connect."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} has the address {address}, which is not public. Use a public address, or have the operator "
            "add its network to QUARTET_STREAM_NETWORKS"
        )


def is_allowed(text: str, networks: Sequence[Network]) -> bool:
    """Whether streams may connect to the address `text`; its zone, if it has one, is ignored."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return isinstance(address, IPv4Address) or (address in GLOBAL_UNICAST and address not in SIX_TO_FOUR)


def require_allowed(host: str, addresses: Sequence[str], networks: Sequence[Network]) -> None:
    """Raises RefusedAddressError if one of the addresses of `host` is not allowed."""
    for address in addresses:
        if not is_allowed(address, networks):
            raise RefusedAddressError(host, address)
