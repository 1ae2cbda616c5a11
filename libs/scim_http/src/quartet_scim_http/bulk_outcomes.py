"""The outcome of one operation of a Bulk request: the same status and error as for a single request."""

import logging
from collections.abc import Awaitable

from quartet_common.core.errors import ForbiddenError, ServiceError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.web.denied_requests import record_partial_refusal
from quartet_scim.bulk import Outcome
from quartet_scim.errors import ScimError

logger = logging.getLogger(__name__)

LATE = ScimError(
    503, "The operation was not carried out: the time limit of one Bulk request was reached. Send it again."
)
BROKEN = ScimError(500, "Internal server error. The server's log has the cause.")


async def outcome_of(operation: Awaitable[Outcome]) -> Outcome:
    """The outcome of `operation`, also if it raises an exception.

    Raises only UnavailableError, which concerns all operations; a lack of capacity may be over at the next one.
    """
    try:
        return await operation
    except ForbiddenError as error:
        await record_partial_refusal(error.scope)
        return Outcome.failed(error)
    except (ScimError, ServiceError) as error:
        if isinstance(error, UnavailableError) and not isinstance(error, CapacityExceededError):
            raise
        return Outcome.failed(error)
    except Exception as error:
        logger.error("an operation of a bulk failed", exc_info=error)
        return Outcome.failed(BROKEN)
