"""Parameters: reads the query string of `/audit/export` and names what is wrong in it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.filter_domain import FILTERS, read_filters
from quartet_audit.proofs.log_parameters import MAX_SIZE
from quartet_common.core.validation_messages import shown
from quartet_common.web.query_parameters import BadParameterError, read_given, single, whole_number

BUNDLE = "bundle"
FORMATS = ("ndjson", "csv", "ocsf", BUNDLE)
NAMES = ("format", "after", *FILTERS)
BUNDLE_NAMES = ("format", "from", "deployment")


class ExportRequest(NamedTuple):
    """What is exported: the entries of the log from `start` on that `search` finds. `filters` are its parameters."""

    format: str
    start: int
    search: Search
    filters: Mapping[str, str]
    deployment: int | None = None
    """Of a bundle: the size of the deployment log that its own is to continue."""

    @property
    def is_continued(self) -> bool:
        """Whether the lines continue a file that has the earlier ones."""
        return self.start > 0


def read_export(parameters: Mapping[str, Sequence[str]]) -> ExportRequest:
    """`format`; then of a bundle `from` and `deployment`, else `after`, the last entry before the export, and FILTERS.

    An empty value is as good as none. Raises BadParameterError (400).
    """
    format_ = single("format", parameters.get("format", [""]), NAMES)
    if format_ not in FORMATS:
        raise BadParameterError("format", f"must be one of {', '.join(FORMATS)}, got {shown(format_)}")
    names = BUNDLE_NAMES if format_ == BUNDLE else NAMES
    given = read_given(parameters, names)
    if format_ == BUNDLE:
        known = whole_number("deployment", given["deployment"], 0, MAX_SIZE) if "deployment" in given else None
        return ExportRequest(format_, whole_number("from", given.get("from", "0"), 0, MAX_SIZE), Search(), {}, known)
    filters = {name: given[name] for name in FILTERS if name in given}
    start = whole_number("after", given["after"], 0, MAX_SIZE - 1) + 1 if "after" in given else 0
    return ExportRequest(format_, start, read_filters(filters), filters)
