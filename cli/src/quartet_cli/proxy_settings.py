"""Where the proxy is reachable, with which certificate, and behind which load balancers; refuses what is insecure."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from quartet_cli import certificates
from quartet_cli.certificates import Pair
from quartet_cli.errors import QuartetError
from quartet_cli.ports import HOST

LISTEN: Final = "QUARTET_LISTEN"
CERTFILE: Final = "QUARTET_PROXY_CERTFILE"
KEYFILE: Final = "QUARTET_PROXY_KEYFILE"
TRUSTED: Final = "QUARTET_PROXY_TRUSTED"
PUBLIC_URL: Final = "QUARTET_PUBLIC_URL"
NOT_IN_A_PATH: Final = frozenset("\"$\\'")
"""Characters that nginx would not read as parts of a path."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class ProxySettings:
    """`addresses` are those that QUARTET_LISTEN adds to 127.0.0.1, which always serves plain HTTP; `pair` is their
    certificate, None for plain HTTP; `trusted` are the networks of load balancers that tell the client's address.
    """

    addresses: tuple[Address, ...] = ()
    pair: Pair | None = None
    trusted: tuple[Network, ...] = ()


def read(given: Mapping[str, str]) -> ProxySettings:
    """The settings of the proxy. Raises QuartetError for what cannot work, and for what would send secrets in plain
    text.
    """
    found = ProxySettings(_addresses(given.get(LISTEN, "")), _pair(given), _networks(given.get(TRUSTED, "")))
    outside = [str(address) for address in found.addresses if not address.is_loopback]
    if outside and not found.pair and not found.trusted:
        raise QuartetError(
            f"{LISTEN}={', '.join(outside)} without TLS would send passwords and tokens in plain text. Set {CERTFILE} "
            f"and {KEYFILE}, or {TRUSTED} if a load balancer ends TLS (docs/tls.md)."
        )
    if found.pair and not found.addresses:
        raise QuartetError(
            f"{CERTFILE} has no effect: {HOST} serves plain HTTP to this machine. Set {LISTEN}, for example to 0.0.0.0."
        )
    url = given.get(PUBLIC_URL, "")
    if (outside or found.pair or found.trusted) and not _is_https(url):
        raise QuartetError(
            f"{PUBLIC_URL} must be the https URL that clients use, such as https://id.example.com, since {LISTEN}, "
            f"{CERTFILE} or {TRUSTED} is set; got {url!r}"
        )
    return found


def _addresses(text: str) -> tuple[Address, ...]:
    """The addresses of QUARTET_LISTEN without 127.0.0.1, each once; IPv6 may be in brackets, as in compose."""
    found: dict[Address, None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            address = ip_address(part.strip("[]"))
        except ValueError:
            address = None
        if address is None or "%" in part:
            raise QuartetError(
                f"{LISTEN} must be IP addresses of this machine, separated by commas, such as 0.0.0.0 or 0.0.0.0,::; "
                f"got {part!r}"
            )
        found[address] = None
    return tuple(address for address in found if str(address) != HOST)


def _pair(given: Mapping[str, str]) -> Pair | None:
    """The files of the certificate and its key, checked; None if neither is set."""
    texts = {name: given.get(name, "") for name in (CERTFILE, KEYFILE)}
    missing = [name for name, text in texts.items() if not text]
    if len(missing) == len(texts):
        return None
    if missing:
        other = KEYFILE if missing == [CERTFILE] else CERTFILE
        raise QuartetError(f"{other} is set without {missing[0]}. Set both.")
    for name, text in texts.items():
        if not Path(text).is_absolute() or not text.isprintable() or NOT_IN_A_PATH & set(text):
            raise QuartetError(f"{name} must be an absolute path without quotes, $ and \\, got {text!r}")
    pair = Path(texts[CERTFILE]), Path(texts[KEYFILE])
    reason = certificates.problem(pair)
    if reason is not None:
        raise QuartetError(f"{CERTFILE} and {KEYFILE} cannot be used: {reason}.")
    return pair


def _networks(text: str) -> tuple[Network, ...]:
    """The networks of QUARTET_PROXY_TRUSTED."""
    found: dict[Network, None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            network = ip_network(part)
        except ValueError as error:
            raise QuartetError(
                f"{TRUSTED} must be networks, separated by commas, such as 10.0.0.0/8; {error}"
            ) from None
        if network.prefixlen == 0:
            raise QuartetError(f"{TRUSTED}={part} would believe every client. Name the networks of the load balancers.")
        found[network] = None
    return tuple(found)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
