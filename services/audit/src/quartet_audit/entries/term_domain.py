"""Terms: what an entry can be found by without an index of its own, and what a search by terms looks for."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice
from typing import Any
from zlib import crc32

import msgspec

from quartet_audit.entries.entry_domain import Network, Search
from quartet_audit.leaves.part_domain import Actor, ResourceName, Source

Parts = Mapping[str, Any]
"""A row with the JSON of each part, `facts`, `actor`, `resource`, `source` and `changes`, or None."""

MAX_KEYS = 4
"""Terms of one search that are looked up; the others only count when entries are read."""

WORD = re.compile(r"\w+")
SEPARATED = bytes(code if WORD.fullmatch(chr(code)) else 32 for code in range(128)) + bytes(128)
"""Replaces each ASCII character that is no part of a word by a space."""
ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
NETWORKS = {4: (32, 24, 16, 8), 6: (128, 64, 48, 32)}
"""The lengths of the prefixes of an address that are terms."""
DATA = len(b'{"data":')
"""Where the data begins in the part `changes`."""


class Id(msgspec.Struct):
    """The resource of an entry."""

    type: str
    id: str


class SearchedFacts(msgspec.Struct):
    """The facts that are searched by terms."""

    actor: str
    resource: Id
    trace_id: str | None


decode_facts = msgspec.json.Decoder(SearchedFacts).decode
_actor = msgspec.json.Decoder(Actor).decode
_resource = msgspec.json.Decoder(ResourceName).decode
_source = msgspec.json.Decoder(Source).decode


def searched_text(facts: SearchedFacts, parts: Parts) -> str:
    """What `text` looks at, in lower case: the ids of actor and resource, their names, and the JSON of the data."""
    changes = (parts["changes"] or b"")[DATA:-1].decode()
    if "\\" in changes:
        changes = ESCAPE.sub(_unescaped, changes)
    names = (
        _actor(parts["actor"]).actor_name if parts["actor"] else None,
        _resource(parts["resource"]).resource_name if parts["resource"] else None,
    )
    texts = (facts.actor, facts.resource.id, *(name for name in names if name), changes)
    return "\n".join(texts).casefold()


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return ESCAPED.get(escape[2], escape[2])


def address_of(parts: Parts) -> IPv4Address | IPv6Address | None:
    """The source address of an entry; None if it has none, or a text that is no address."""
    text = _source(parts["source"]).source_address if parts["source"] else None
    return None if text is None else parse_address(text)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, that of IPv4 if it is mapped (RFC 4291 section 2.5.5.2), without a zone."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def words(text: str) -> set[bytes]:
    """The words in a text, as WORD finds them; in ASCII in a tenth of the time."""
    if text.isascii():
        return set(text.encode().translate(SEPARATED).split())
    return {_encoded(word) for word in WORD.findall(text)}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def word_key(word: str) -> int:
    """The key of a word."""
    return crc32(_encoded(word))


def fact_key(kind: str, value: str) -> int:
    """The key of another term; words have no NUL character."""
    return crc32(_encoded(f"{kind}\0{value}"))


def network_keys(address: IPv4Address | IPv6Address) -> list[int]:
    """The keys of the networks that `address` is in."""
    return [_network_key(address.version, int(address), length) for length in NETWORKS[address.version]]


def _network_key(version: int, address: int, length: int) -> int:
    bits = NETWORKS[version][0]
    return fact_key("address", f"{version}/{length}/{address >> (bits - length)}")


class Terms:
    """What a search asks for beyond the columns of `entries`: `keys` to look up, and a check of the parts."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._pieces = [(piece, _pattern(piece)) for piece in search.text]
        self.keys = list(islice(_search_keys(search), MAX_KEYS))

    def are_in(self, parts: Parts) -> bool:
        """Whether an entry with `parts` has all of them."""
        search = self._search
        facts = decode_facts(parts["facts"])
        if search.trace_id is not None and facts.trace_id != search.trace_id:
            return False
        if search.address is not None and not _is_in(address_of(parts), search.address):
            return False
        if not self._pieces:
            return True
        text = searched_text(facts, parts)
        return all(piece in text and pattern.search(text) for piece, pattern in self._pieces)


def _search_keys(search: Search) -> Iterator[int]:
    """The keys of what is searched, of the rarest kind of term first."""
    if search.trace_id is not None:
        yield fact_key("trace_id", search.trace_id)
    if search.address is not None:
        yield from _covering_key(search.address)
    found = set[str]().union(*(WORD.findall(piece) for piece in search.text))
    yield from map(word_key, sorted(found, key=len, reverse=True))
    if search.resource_type is not None:
        yield fact_key("resource_type", search.resource_type)


def _covering_key(network: Network) -> Iterator[int]:
    """The key of the smallest network of NETWORKS that `network` is in; none for a network that is larger."""
    for length in NETWORKS[network.version]:
        if length <= network.prefixlen:
            yield _network_key(network.version, int(network.network_address), length)
            return


def _is_in(address: IPv4Address | IPv6Address | None, network: Network) -> bool:
    return address is not None and address.version == network.version and address in network


def _pattern(piece: str) -> re.Pattern[str]:
    """Finds `piece` where it does not begin or end inside of a word."""
    before = r"(?<!\w)" if WORD.match(piece) else ""
    after = r"(?!\w)" if WORD.match(piece[-1]) else ""
    return re.compile(before + re.escape(piece) + after)


def parse_network(text: str) -> Network:
    """An address or CIDR; a mapped one is that of IPv4. Raises ValueError."""
    network = ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ip_network((mapped, network.prefixlen - 96))
