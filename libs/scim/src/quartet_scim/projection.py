"""Projection: the attributes of a response by `attributes`, `excludedAttributes` (RFC 7644 3.9) and `returned`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from quartet_scim.attribute_names import MAX_NAMES, Named, core_attributes, name_table
from quartet_scim.errors import invalid_value
from quartet_scim.schema import Attribute, ResourceType, Returned

Tree: TypeAlias = dict[str, "Tree | None"]
"""Names with the selected names below them, None for all of them."""

Way = tuple[str, ...]
"""The keys from the resource to a value: URN of an extension, attribute, sub-attribute."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The returned attributes of a resource; made by `Projector.parse`.

    is_everything: nothing is left out, so that rendered bytes can be sent unchanged.
    kept: the returned attributes, None for all. left_out: exceptions from `kept`.
    """

    is_everything: bool
    kept: Tree | None
    left_out: Tree

    def wants(self, name: str) -> bool:
        """Whether a core attribute, or an extension by its URN, is returned at least in part.

        name: canonical. Services need not read members or groups that are not returned.
        """
        if name in self.left_out and self.left_out[name] is None:
            return False
        return self.kept is None or name in self.kept

    def apply(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The returned part of a resource with id and meta, without attributes that become empty.

        The document is not changed; the result shares values with it.
        """
        found = dict(document) if self.kept is None else _only(document, self.kept)
        return _without(found, self.left_out) if self.left_out else found

    def of(self, rendered: bytes) -> bytes:
        """The returned part of a rendered resource: the same bytes if nothing is left out."""
        return rendered if self.is_everything else orjson.dumps(self.apply(orjson.loads(rendered)))


class Projector:
    """Makes projections for one resource type: made once, used for all requests."""

    def __init__(self, resource_type: ResourceType) -> None:
        core = core_attributes(resource_type)
        self._names = name_table(resource_type)
        self._of_urn: dict[str | None, tuple[Attribute, ...]] = {None: core}
        self._of_urn.update({extension.id: extension.attributes for extension in resource_type.extensions})
        self._always = _tree(self._ways(Returned.ALWAYS))
        self._never = _tree(self._ways(Returned.NEVER))
        self._on_request = _tree(self._ways(Returned.REQUEST))
        self._usual = self._without([])
        """The projection of a request without parameters."""

    def parse(
        self, attributes: str | Iterable[str] | None = None, excluded: str | Iterable[str] | None = None
    ) -> Projection:
        """The projection for `attributes` or `excludedAttributes`.

        Each is a query's text with commas, or the list of a search request. Names may be of any case, dotted, with a
        URN, or a URN alone; unknown ones are passed over. Raises ScimError 400 invalidValue where both name something,
        since they exclude each other (RFC 7644 3.9), and for what is no text.
        """
        wanted, unwanted = _listed("attributes", attributes), _listed("excludedAttributes", excluded)
        if wanted and unwanted:
            raise invalid_value("attributes and excludedAttributes cannot be given together.")
        if wanted:
            return self._of_wanted(wanted)
        return self._without(unwanted) if unwanted else self._usual

    def _without(self, unwanted: list[str]) -> Projection:
        left_out = _copy(self._on_request)
        for way in self._ways_of(unwanted):
            if not _is_in(self._always, way):
                _include(left_out, way)
        return Projection(not left_out, None, _union(left_out, self._never))

    def _of_wanted(self, names: list[str]) -> Projection:
        kept, left_out = _copy(self._always), _copy(self._on_request)
        for way in self._ways_of(names):
            _include(kept, way)
            _exclude(left_out, way)
        for urn, attribute in self._attributes():
            for sub in attribute.sub_attributes:
                way = _way(urn, attribute)
                if sub.returned is Returned.ALWAYS and _is_in(kept, way, partly=True):
                    _include(kept, (*way, sub.name))
        return Projection(is_everything=False, kept=kept, left_out=_union(left_out, self._never))

    def _ways_of(self, names: Iterable[str]) -> Iterator[Way]:
        for name in names:
            named = self._names.get(name)
            if named is not None:
                yield from self._ways_to(named)

    def _ways_to(self, named: Named) -> Iterator[Way]:
        if named.attribute is None:
            yield from (_way(named.urn, attribute) for attribute in self._of_urn[named.urn])
        else:
            yield _way(named.urn, named.attribute, *(() if named.sub is None else (named.sub,)))

    def _attributes(self) -> Iterator[tuple[str | None, Attribute]]:
        for urn, attributes in self._of_urn.items():
            yield from ((urn, attribute) for attribute in attributes)

    def _ways(self, returned: Returned) -> Iterator[Way]:
        """The way to each attribute of that kind, and to each sub-attribute whose attribute is not of it."""
        for urn, attribute in self._attributes():
            if attribute.returned is returned:
                yield _way(urn, attribute)
            elif returned is not Returned.ALWAYS:  # a sub-attribute is always there where its attribute is
                yield from (_way(urn, attribute, sub) for sub in attribute.sub_attributes if sub.returned is returned)


def _listed(parameter: str, names: str | Iterable[str] | None) -> list[str]:
    if not names:
        return []
    texts = [names] if isinstance(names, str) else list(names)
    if not all(isinstance(text, str) for text in texts):
        raise invalid_value(f"{parameter} must be names of attributes.")
    if len(texts) + sum(text.count(",") for text in texts) > MAX_NAMES:
        raise invalid_value(f"{parameter} must be at most {MAX_NAMES} names.")
    named = (part.strip().lower() for text in texts for part in text.split(",") if part.isascii())
    return list(dict.fromkeys(name for name in named if name))  # each once: a URN stands for up to 100 attributes


def _way(urn: str | None, *attributes: Attribute) -> Way:
    names = tuple(attribute.name for attribute in attributes)
    return names if urn is None else (urn, *names)


def _tree(ways: Iterable[Way]) -> Tree:
    found: Tree = {}
    for way in ways:
        _include(found, way)
    return found


def _include(tree: Tree, way: Way) -> None:
    """Add the attribute at the end of a path; a whole attribute replaces its parts."""
    for step in way[:-1]:
        below = tree.setdefault(step, {})
        if below is None:
            return
        tree = below
    tree[way[-1]] = None


def _exclude(tree: Tree, way: Way) -> None:
    """Remove the attribute at the end of a path, and its parts."""
    for step in way[:-1]:
        below = tree.get(step)
        if below is None:
            tree.pop(step, None)
            return
        tree = below
    if tree.get(way[-1]) is None:
        tree.pop(way[-1], None)


def _is_in(tree: Tree, way: Way, *, partly: bool = False) -> bool:
    for step in way[:-1]:
        below = tree.get(step, _EMPTY)
        if below is None:
            return True
        tree = below
    return way[-1] in tree and (partly or tree[way[-1]] is None)


def _copy(tree: Tree) -> Tree:
    return {name: None if below is None else _copy(below) for name, below in tree.items()}


def _union(one: Tree, other: Tree) -> Tree:
    found = _copy(one)
    for name, below in other.items():
        there = found.get(name, _EMPTY)
        found[name] = None if there is None or below is None else _union(there, below)
    return found


_EMPTY: Tree = {}


def _only(value: Any, kept: Tree) -> Any:
    if isinstance(value, list):
        return [part for one in value if (part := _only(one, kept))]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, item in value.items():
        if name in kept:
            below = kept[name]
            part = item if below is None else _only(item, below)
            if below is None or _is_something(part):
                found[name] = part
    return found


def _without(value: Any, left_out: Tree) -> Any:
    if isinstance(value, list):
        return [part for one in value if (part := _without(one, left_out))]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, item in value.items():
        if name not in left_out:
            found[name] = item
        elif (below := left_out[name]) is not None and _is_something(part := _without(item, below)):
            found[name] = part
    return found


def _is_something(value: Any) -> bool:
    return value not in ({}, [])
