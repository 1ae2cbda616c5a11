"""The rules for users created by a Bulk request: which operations succeed; no I/O."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.bulk import BulkResults, Outcome
from quartet_scim.errors import ScimError, uniqueness
from quartet_scim.normalise import Normalised
from quartet_users.errors import TAKEN
from quartet_users.users import user_domain
from quartet_users.users.user_domain import User

Step = tuple[int, ...]
"""Indexes of operations that succeed or fail together: one, or several that refer to each other in a cycle."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A user to create, as sent by the client."""

    id: UUID
    sent: Normalised
    password_hash: str | None = None

    @property
    def password(self) -> str | None:
        """The password, until it is hashed."""
        found = self.sent.secrets.get("password") if self.password_hash is None else None
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """The user that an operation creates if it succeeds, and its events."""

    user: User
    events: Sequence[DomainEvent]
    password_hash: str | None


Candidates = Mapping[int, Candidate | ScimError]
"""By index: the user that the operation creates if it succeeds, or its error."""


def make_candidates(wanted: Mapping[int, Wanted | ScimError], now: datetime) -> Candidates:
    """The users of the operations, if all names are free."""
    return {
        index: one
        if isinstance(one, ScimError)
        else Candidate(*user_domain.create(one.id, one.sent.attributes, now), one.password_hash)
        for index, one in wanted.items()
    }


def first_of_each_name(candidates: Candidates) -> dict[str, User]:
    """The users to insert by the keys of their names; the first one of several with the same name."""
    found: dict[str, User] = {}
    for one in candidates.values():
        if isinstance(one, Candidate):
            found.setdefault(one.user.user_name_key, one.user)
    return found


def settle(results: BulkResults, steps: Sequence[Step], candidates: Candidates, taken: Set[str]) -> list[Candidate]:
    """The users that are created, with the same results as if the steps were carried out one after the other.

    `taken`: the keys of names of other users. Records the outcomes in `results`, until it is stopped (failOnErrors).
    """
    names = set(taken)
    made: list[Candidate] = []
    for step in steps:
        if results.stopped:
            break
        claimed, errors = _claims(results, step, candidates, names)
        if not errors:
            names |= claimed
            made += [one for one in map(candidates.__getitem__, step) if isinstance(one, Candidate)]
        _record(results, step, errors)
    return made


def _claims(
    results: BulkResults, step: Step, candidates: Candidates, names: Set[str]
) -> tuple[set[str], dict[int, ScimError]]:
    """The names of the users of one step, and the errors of its operations."""
    claimed: set[str] = set()
    errors: dict[int, ScimError] = {}
    for index in step:
        one = candidates[index]
        refusal = one if isinstance(one, ScimError) else results.refusal(index)
        if refusal is None and isinstance(one, Candidate):
            name = one.user.user_name_key
            if name in names or name in claimed:
                refusal = uniqueness(TAKEN)
            claimed.add(name)
        if refusal is not None:
            errors[index] = refusal
    return claimed, errors


def _record(results: BulkResults, step: Step, errors: Mapping[int, ScimError]) -> None:
    """Record the outcome of each operation of a step: if one failed, those in a cycle with it have failed too."""
    failed = next(iter(errors.items()), None)
    for index in step:
        error = errors.get(index) or (None if failed is None else results.dependent(*failed))
        results.record(index, Outcome(201, 1) if error is None else Outcome.failed(error))
