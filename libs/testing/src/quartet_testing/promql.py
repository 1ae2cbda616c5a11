"""Generated queries: PromQL and MetricsQL that try to reach another tenant, the same for the same seed."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

AGGREGATES = (
    "sum", "min", "max", "avg", "count", "group", "stddev", "median", "any", "distinct", "geomean", "mode", "sum2",
    "zscore",
)  # fmt: skip
AGGREGATES_WITH_NUMBER = ("topk", "bottomk", "limitk", "topk_max", "bottomk_avg", "outliersk", "quantile")
ROLLUPS = (
    "rate", "increase", "delta", "irate", "count_over_time", "sum_over_time", "last_over_time", "max_over_time",
    "rollup", "rollup_rate", "integrate", "lag", "lifetime", "changes", "resets", "first_over_time", "range_over_time",
    "tmax_over_time", "present_over_time", "absent_over_time", "default_rollup", "increase_pure", "distinct_over_time",
    "timestamp",
)  # fmt: skip
TRANSFORMS = (
    "abs", "ceil", "sort", "sort_desc", "absent", "running_sum", "range_max", "range_first", "union", "keep_last_value",
    "remove_resets", "interpolate", "scalar", "vector", "timestamp", "range_quantile", "smooth_exponential",
    "drop_common_labels", "alias", "label_uppercase", "sgn", "histogram_quantile",
)  # fmt: skip
OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    ">",
    "<",
    "and",
    "or",
    "unless",
    "default",
    "if",
    "ifnot",
    "> bool",
)
JOINS = (
    "", "on(type)", "ignoring(type)", "on()", "on(tenant)", "on(type) group_left()", "on() group_right(tenant)",
    "ignoring(tenant) group_left(secret)",
)  # fmt: skip
GROUPS = ("", "by (tenant)", "by (type)", "without (type)", "by (tenant, type, __name__)", "without ()", "by (secret)")


class Queries:
    """Queries of one tenant that name another one, `foreign`, whose metrics are those of `names`."""

    def __init__(self, seed: int, own: str, foreign: str, names: Sequence[str]) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nosec B311  # the same queries in each run
        self._own, self._foreign, self._names = own, foreign, names

    def one(self) -> str:
        """A query."""
        text = self._expression(self._random.randint(1, 3))
        return self._pick(
            [text] * 6
            + [
                f"# {self._matcher()}\n{text}",
                f"WITH (f = {{{self._matcher()}}}) {self._name()}{{f}}",
                f"WITH (w(m) = {self._pick(ROLLUPS)}(m{{{self._matcher()}}}[5m])) w({self._name()}) or {text}",
                f'WITH (tenant = "{self._foreign}") {self._name()}{{tenant=tenant}}',
                f"({text})[10m:1m]",
                f'{text} # }} or {{tenant="{self._foreign}"',
                f"{text} offset {self._pick(('5m', '-5m', '1i', '1h'))}",
                f"{self._name()}{{{self._matcher()}}} or {{{self._matcher()}}}",
                f"{self._name()}{{{self._matcher()} or {self._matcher()}}}",
            ]
        )

    def selector(self) -> str:
        """A selector of series."""
        return self._pick([self._selector(), f"{{{self._matcher()}}}", f'{{{self._matcher()},__name__!=""}}'])

    def _pick(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _name(self) -> str:
        return (
            str(self._pick([*self._names, *self._names, '{__name__=~".+"}'])).removesuffix('{__name__=~".+"}') or "sent"
        )

    def _matcher(self) -> str:
        foreign = self._foreign
        escaped = "".join(f"\\u{ord(one):04x}" for one in foreign)
        hexed = "".join(f"\\x{ord(one):02x}" for one in foreign)
        return str(
            self._pick(
                (
                    f'tenant="{foreign}"',
                    f"tenant='{foreign}'",
                    f"tenant=`{foreign}`",
                    f'tenant=~"{foreign}|{self._own}"',
                    'tenant=~".*"',
                    'tenant!=""',
                    'tenant=""',
                    f'tenant!="{self._own}"',
                    f'tenant!~"{self._own}"',
                    f'tenant="{escaped}"',
                    f'tenant="{hexed}"',
                    f'\\u0074enant="{foreign}"',
                    f't\\x65nant="{foreign}"',
                    f'"tenant"="{foreign}"',
                    'secret!=""',
                    'secret=~"marked.*"',
                    'type=~"."',
                    'type="x"',
                    'type!="none"',
                    '__name__=~".*"',
                    f'__name__=~"{self._pick(self._names)}|.*"',
                    'type="",tenant=~".+"',
                    '__graphite__="*"',
                    f'tenant="{foreign}" , tenant="{self._own}"',
                    'tenant=~"(?i).*"',
                    f'tenant="{self._own}"',
                )
            )
        )

    def _selector(self) -> str:
        kind = self._random.random()
        if kind < 0.35:
            return self._name()
        if kind < 0.6:
            return f"{self._name()}{{{self._matcher()}}}"
        if kind < 0.75:
            return f"{{{self._matcher()},{self._matcher()}}}"
        if kind < 0.85:
            return f"{self._name()}{{{self._matcher()}, {self._matcher()}}}"
        return f"{{{self._matcher()}}}"

    def _range(self) -> str:
        return str(self._pick(("5m", "1h", "10m:1m", "1i", "30s:10s", "2h", "5m] offset 1m#[", "1h:")))

    def _expression(self, depth: int) -> str:
        if depth == 0:
            return self._selector()
        inner = self._expression(depth - 1)
        return str(
            self._pick(
                (
                    self._selector(),
                    f"{self._pick(ROLLUPS)}({self._selector()}[{self._range()}])",
                    f"{self._pick(ROLLUPS)}({inner}[10m:1m])",
                    f"{self._pick(TRANSFORMS)}({inner})",
                    f"{self._pick(AGGREGATES)}({inner}) {self._pick(GROUPS)}",
                    f"{self._pick(AGGREGATES)} {self._pick(GROUPS)} ({inner}) limit 5",
                    f"{self._pick(AGGREGATES_WITH_NUMBER)}({self._pick((1, 3, 0.5))}, {inner}) {self._pick(GROUPS)}",
                    f'count_values("{self._pick(("v", "type", "tenant"))}", {inner})',
                    f"({inner}) {self._pick(OPERATORS)} {self._pick(JOINS)} ({self._expression(depth - 1)})",
                    f"({inner}) {self._pick(OPERATORS)} {self._pick(JOINS)} 7",
                    f"quantile_over_time(0.5, {self._selector()}[10m])",
                    f'aggr_over_time(("min_over_time", "rate"), {self._selector()}[10m])',
                    self._labels(inner),
                )
            )
        )

    def _labels(self, inner: str) -> str:
        foreign, own = self._foreign, self._own
        return str(
            self._pick(
                (
                    f'label_set({inner}, "tenant", "{foreign}")',
                    f'label_copy({inner}, "tenant", "t")',
                    f'label_move({inner}, "tenant", "t")',
                    f'label_del({inner}, "tenant")',
                    f'label_keep({inner}, "type")',
                    f'label_map({inner}, "tenant", "{own}", "{foreign}")',
                    f'label_match({inner}, "tenant", "{foreign}")',
                    f'label_mismatch({inner}, "tenant", "{own}")',
                    f'label_value({inner}, "type")',
                    f'label_replace({inner}, "tenant", "{foreign}", "", "")',
                    f'label_join({inner}, "t", "-", "tenant", "type")',
                    f'label_transform({inner}, "tenant", ".*", "{foreign}")',
                    f"label_graphite_group({inner}, 0)",
                    f'sort_by_label({inner}, "tenant")',
                    f'alias({inner}, "{foreign}")',
                    f"union({inner}, {self._selector()})",
                    f"({inner}, {self._selector()})",
                    f'label_lowercase({inner}, "tenant")',
                )
            )
        )
