"""What a filter means: tests of known attributes, in the few forms that the evaluator and the SQL both understand.

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
    """An attribute with what a test of it needs.

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
    """Some value of the attribute stands in that relation to the operand, whose type fits the attribute's."""

    target: Target
    operator: Operator
    operand: str | int | float | bool


@dataclass(frozen=True, slots=True)
class HasValue:
    """Some value of the attribute is there and is no empty string; an object needs such a value in it."""

    target: Target


@dataclass(frozen=True, slots=True)
class IsAssigned:
    """Some value of the attribute is there, be it an empty string."""

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
