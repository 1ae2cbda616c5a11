"""Conditions: resolved filters as tests of known attributes, in the few forms that evaluator and SQL writer support.

Every condition is true or false, never unknown. `a ne b` has become not(a eq b), and `a eq null` not(a is assigned).
"""

from dataclasses import dataclass
from typing import TypeAlias

from quartet_scim.filters.syntax import Operator
from quartet_scim.schema import Type


@dataclass(frozen=True, slots=True)
class Step:
    """One key on the way into a document. listed: whether the schema has a list under it."""

    key: str
    listed: bool


@dataclass(frozen=True, slots=True)
class Target:
    """An attribute with the properties that a test of it needs.

    name: canonical, with the URN where it is an extension's (`emails.value`, `urn:...:User:department`).
    steps: the way to its values from the resource, or from the element inside a value path; none: the element itself.
    stored: whether it is a part of the stored document; readOnly attributes are columns or nothing.
    """

    name: str
    steps: tuple[Step, ...]
    type: Type
    case_exact: bool
    stored: bool


@dataclass(frozen=True, slots=True)
class Test:
    """Some value of the attribute compares to the operand by the operator; the operand has the attribute's type."""

    target: Target
    operator: Operator
    operand: str | int | float | bool


@dataclass(frozen=True, slots=True)
class HasValue:
    """The attribute has a value that is no empty string; an object needs such a value in it."""

    target: Target


@dataclass(frozen=True, slots=True)
class IsAssigned:
    """The attribute has a value, which may be an empty string."""

    target: Target


@dataclass(frozen=True, slots=True)
class Some:
    """Some one element of the attribute meets the condition, whose targets begin at the element."""

    target: Target
    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Negated:
    """The condition is not met."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition is met."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition is met."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same: a test of an attribute that this type of resource does not have."""

    holds: bool


Condition: TypeAlias = Test | HasValue | IsAssigned | Some | Negated | AllOf | AnyOf | Constant


def mentions(condition: Condition, name: str) -> bool:
    """Whether the condition tests the attribute of that canonical name."""
    match condition:
        case AllOf() | AnyOf():
            return any(mentions(one, name) for one in condition.conditions)
        case Negated():
            return mentions(condition.condition, name)
        case Constant():
            return False
        case _:
            return condition.target.name == name
