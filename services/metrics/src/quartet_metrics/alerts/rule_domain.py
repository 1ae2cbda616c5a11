"""Alert rules: what one may be, the labels of its alerts, and the texts of its annotations; no I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from quartet_common.core.errors import BadRequestError
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS, shown
from quartet_metrics.engine.engine_domain import TENANT

MAX_RULES = 100
"""Rules of a tenant."""
MAX_LABELS = 16
MAX_EXPR, MAX_NAME, MAX_TEXT = 4096, 100, 1024
"""Characters of an expression, of a name, and of a label value or an annotation."""
MAX_RENDERED = 2048
LONGEST = timedelta(days=30)
INTERVAL = timedelta(seconds=15)
"""The time between two evaluations of a rule."""
LATE = timedelta(seconds=60)
"""A rule that has been due for so long is late."""

NAME_LABEL, SEVERITY_LABEL = "alertname", "severity"
RESERVED: Final = (NAME_LABEL, SEVERITY_LABEL, TENANT)
"""Labels that a rule cannot give: they are set from its name, its severity and its tenant."""
LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
PLACEHOLDER: Final = re.compile(r"\{\{ *\$(?:value|labels\.([a-zA-Z_][a-zA-Z0-9_]{0,127})) *\}\}")
DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdw]))+")
UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Text = Annotated[str, Meta(max_length=MAX_TEXT, pattern=NO_CONTROL_CHARACTERS)]
Labels = Annotated[dict[str, Text], Meta(max_length=MAX_LABELS)]


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert rule, with the members that Prometheus has. Each series that `expr` finds is an alert: pending at first,
    and firing when it was found for as long as `for`. It is resolved when it was not found for `keep_firing_for`.
    """

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=NO_CONTROL_CHARACTERS)]
    expr: Annotated[str, Meta(min_length=1, max_length=MAX_EXPR)]
    severity: Literal["info", "warning", "critical"] = "warning"
    hold: Annotated[str, Meta(max_length=MAX_NAME)] = field(name="for", default="0s")
    keep_firing_for: Annotated[str, Meta(max_length=MAX_NAME)] = "0s"
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A stored rule; `problem` is that of the last evaluation."""

    tenant: str
    id: UUID
    version: int
    definition: Definition
    created_at: datetime
    changed_at: datetime
    evaluated_at: datetime | None
    problem: str | None
    due_at: datetime

    def problem_at(self, now: datetime) -> str | None:
        """Why the rule has no present result; None if it has one."""
        if now - self.due_at < LATE:
            return self.problem
        return f"The evaluation is late since {self.due_at.isoformat()}: its alerts keep their states."


def check_definition(definition: Definition) -> None:
    """Raises BadRequestError (400) that names the invalid member and its value."""
    if "\0" in definition.expr:
        raise BadRequestError("expr must not contain a NUL character.")
    read_duration("for", definition.hold)
    read_duration("keep_firing_for", definition.keep_firing_for)
    for name in definition.labels:
        _check_name("labels", name)
        if name in RESERVED or name.startswith("__"):
            raise BadRequestError(f"labels.{name} is reserved. Use another name, or the member severity.")
    for name, text in definition.annotations.items():
        _check_name("annotations", name)
        if "{{" in PLACEHOLDER.sub("", text):
            usable = "{{ $value }} and {{ $labels.<name> }}"
            raise BadRequestError(f"annotations.{name} may have the placeholders {usable} only, got {shown(text)}.")


def read_duration(name: str, text: str) -> timedelta:
    """A duration such as 90s or 1h30m. Raises BadRequestError (400)."""
    if DURATION.fullmatch(text) is not None:
        parts = re.findall(r"([0-9]+)(ms|[smhdw])", text)
        seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
        if seconds <= LONGEST.total_seconds():
            return timedelta(seconds=seconds)
    rule = f"must be a duration of at most {LONGEST.days} days, such as 30s, 5m or 1h30m"
    raise BadRequestError(f"{name} {rule}, got {shown(text)}.")


def labels_of(definition: Definition, found: Mapping[str, str]) -> dict[str, str]:
    """The labels of the alert for a series that was found, sorted by name."""
    own = {NAME_LABEL: definition.name, SEVERITY_LABEL: definition.severity}
    labels = {**found, **definition.labels, **own}
    return {name: labels[name] for name in sorted(labels) if name != "__name__" and labels[name]}


def annotations_of(definition: Definition, labels: Mapping[str, str], value: str) -> dict[str, str]:
    """The annotations of an alert, with its value and labels at their placeholders."""

    def replace(match: re.Match[str]) -> str:
        return labels.get(match[1], "") if match[1] else value

    return {name: PLACEHOLDER.sub(replace, text)[:MAX_RENDERED] for name, text in definition.annotations.items()}


def _check_name(member: str, name: str) -> None:
    if LABEL_NAME.fullmatch(name) is None:
        raise BadRequestError(f"{member} has the name {shown(name)}: use letters, digits and underscores.")
