"""Parameters of the routes of logs: tenants, paths of tiles (C2SP tlog-tiles, "Merkle Tree"), sizes of trees."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from werkzeug.routing import BaseConverter

from quartet_audit.trees.tree_domain import TILE_WIDTH
from quartet_common.core.errors import NotFoundError
from quartet_common.web.guard import caller
from quartet_common.web.query_parameters import BadParameterError, single, whole_number

ENTRIES = "entries"
MAX_LEVEL = 63
MAX_SIZE = (1 << 63) - 1
MAX_WAIT = 10
TILE = re.compile(r"(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6})([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class TileConverter(BaseConverter):
    """The path of a tile in a rule: `<tile:path>`. It keeps `/audit/log/tile/...` apart from a tenant of this name."""

    regex = r"(?:entries|[0-9]{1,2})/[x0-9/]+(?:\.p/[0-9]+)?"
    part_isolating = False


class TilePath(NamedTuple):
    """A tile, or an entry bundle: `level` is None. `number` is its index; `width` is TILE_WIDTH for a full one."""

    level: int | None
    number: int
    width: int


def own_log(tenant: str) -> str:
    """`tenant` if it is the caller's. Raises NotFoundError (404) for any other, whether it exists or not."""
    if tenant != caller().tenant:
        raise NotFoundError("There is no log of this tenant.")
    return tenant


def read_tile_path(path: str) -> TilePath | None:
    """`<L>/<N>[.p/<W>]`, with `entries` as the level of an entry bundle; None for every other form."""
    match = TILE.fullmatch(path)
    if match is None or match[2].startswith("x000/"):
        return None
    level = None if match[1] == ENTRIES else int(match[1])
    width = TILE_WIDTH if match[4] is None else int(match[4])
    if (level or 0) > MAX_LEVEL or (match[4] is not None and width >= TILE_WIDTH):
        return None
    return TilePath(level, int(match[2].replace("x", "").replace("/", "") + match[3]), width)


def read_sizes(parameters: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """`from` and `to` of a consistency proof: two sizes of a tree. Raises BadParameterError (400)."""
    given = {name: single(name, values, ("from", "to")) for name, values in parameters.items()}
    for name in ("from", "to"):
        if name not in given:
            raise BadParameterError(name, "must be given: the size of a tree")
    old, new = whole_number("from", given["from"], 0, MAX_SIZE), whole_number("to", given["to"], 0, MAX_SIZE)
    if old > new:
        raise BadParameterError("from", f"must not be larger than to, got {old} and {new}")
    return old, new


def read_wait(parameters: Mapping[str, Sequence[str]]) -> int:
    """`wait`: the seconds to wait for a checkpoint, 0 to 10. Raises BadParameterError (400)."""
    given = {name: single(name, values, ("wait",)) for name, values in parameters.items()}
    return whole_number("wait", given.get("wait", "0"), 0, MAX_WAIT)
