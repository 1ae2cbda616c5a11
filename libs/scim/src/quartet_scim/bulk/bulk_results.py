"""The outcomes of the operations of a Bulk request, their effect on later ones, and the response (RFC 7644 3.7.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quartet_scim.bulk.messages import Method
from quartet_scim.bulk.plan import Plan, Planned
from quartet_scim.bulk.references import shown
from quartet_scim.errors import HttpError, ScimError, as_scim_error
from quartet_scim.render import etag

BULK_RESPONSE_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
UNAVAILABLE = 503

Location = Callable[[str, str], str]
"""The absolute URL of a resource by its endpoint (`/Users`) and id."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one operation: HTTP status, version of the resource if any, and the error if it failed."""

    status: int
    version: int | None = None
    error: ScimError | None = None

    @classmethod
    def failed(cls, error: HttpError) -> "Outcome":
        """The outcome of a failed operation."""
        return cls(error.status, None, as_scim_error(error))


class BulkResults:
    """Collects the outcomes of a plan's operations; stops at the number of errors in failOnErrors."""

    def __init__(self, plan: Plan, fail_on_errors: int | None) -> None:
        self._plan = plan
        self._limit = fail_on_errors
        self._outcomes: dict[int, Outcome] = {}
        self.errors = 0

    @property
    def stopped(self) -> bool:
        """Whether no further operation is carried out (failOnErrors)."""
        return self._limit is not None and self.errors >= self._limit

    @property
    def errors_left(self) -> int | None:
        """The number of further errors that stop the request; None for no limit."""
        return None if self._limit is None else max(0, self._limit - self.errors)

    def fork(self) -> "BulkResults":
        """A copy for outcomes that are valid only if a transaction commits."""
        other = BulkResults(self._plan, self._limit)
        other._outcomes, other.errors = dict(self._outcomes), self.errors
        return other

    def __contains__(self, index: int) -> bool:
        return index in self._outcomes

    def record(self, index: int, outcome: Outcome) -> None:
        """Record the outcome of one operation."""
        self._outcomes[index] = outcome
        self.errors += outcome.error is not None

    def refusal(self, index: int) -> ScimError | None:
        """Why an operation cannot be carried out: its own fault, or one that it needs failed. None if it can."""
        planned = self._plan.operations[index]
        if planned.fault is not None:
            return planned.fault
        for needed in sorted(planned.needs):
            outcome = self._outcomes.get(needed)
            if outcome is not None and outcome.error is not None:
                return self.dependent(needed, outcome.error)
        return None

    def dependent(self, needed: int, error: ScimError) -> ScimError:
        """The error of an operation that refers to `needed`, which failed with `error` (409, RFC 7644 3.7.1)."""
        name = shown(self._plan.operations[needed].operation.bulk_id or "")
        status = UNAVAILABLE if error.status == UNAVAILABLE else 409
        return ScimError(status, f"The operation refers to {name}, which was not created.")

    def response(self, location: Location) -> dict[str, Any]:
        """The BulkResponse with all recorded outcomes, in the order of the request."""
        results = [
            _result(self._plan.operations[index], outcome, location)
            for index, outcome in sorted(self._outcomes.items())
        ]
        return {"schemas": [BULK_RESPONSE_SCHEMA], "Operations": results}


def _result(planned: Planned, outcome: Outcome, location: Location) -> dict[str, Any]:
    operation = planned.operation
    made = outcome.error is None or operation.method is not Method.POST
    result: dict[str, Any] = {}
    if made and planned.id is not None and operation.endpoint is not None:
        result["location"] = location(operation.endpoint, planned.id)
    if operation.method is not None:
        result["method"] = operation.method.value
    if operation.bulk_id is not None:
        result["bulkId"] = operation.bulk_id
    if outcome.version is not None:
        result["version"] = etag(outcome.version)
    result["status"] = str(outcome.status)
    if outcome.error is not None:
        result["response"] = outcome.error.document()
    return result
