"""The use case that creates many users of a Bulk request in one transaction."""

from collections.abc import Mapping, Sequence, Set
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_scim.bulk import BulkResults
from quartet_scim.errors import ScimError
from quartet_users.bulk.bulk_domain import Step, Wanted, first_of_each_name, make_candidates, settle
from quartet_users.passwords import credential_store
from quartet_users.tenant_schemas.schema_usecases import require_schemas
from quartet_users.users import user_store
from quartet_users.users.user_domain import User
from quartet_users.users.user_usecases import Container


async def create_users(
    container: Container,
    caller: Caller,
    results: BulkResults,
    steps: Sequence[Step],
    wanted: Mapping[int, Wanted | ScimError],
) -> BulkResults:
    """Create the users of `steps` in one transaction; `wanted` has each user, or its error, by index.

    Returns a copy of `results` with the outcomes, once the transaction is committed; `results` is not changed.
    """
    now = container.clock()
    candidates = make_candidates(wanted, now)
    tried = first_of_each_name(candidates)
    settled = results.fork()
    async with unit_of_work(container, caller) as work:
        stored = await user_store.insert_users(work.connection, caller.tenant, list(tried.values()))
        taken = {key for key, user in tried.items() if user.id not in stored}
        made = settle(settled, steps, candidates, taken)
        await _correct(work.connection, caller.tenant, stored, [one.user for one in made])
        await require_schemas(work.connection, caller.tenant, [one.user.attributes for one in made])
        hashes = [(one.user.id, one.password_hash) for one in made if one.password_hash is not None]
        if hashes:
            await credential_store.set_passwords(work.connection, caller.tenant, hashes, now)
        work.publish(event for one in made for event in one.events)
    return settled


async def _correct(connection: Connection, tenant: str, stored: Set[UUID], made: Sequence[User]) -> None:
    """Delete users that were `stored` but failed, and insert those that are `made` but not stored.

    They differ if a user fails because of an operation that it refers to: then a later user can have its name.
    """
    wrong = stored - {user.id for user in made}
    missing = [user for user in made if user.id not in stored]
    if wrong:
        await user_store.delete_users(connection, tenant, list(wrong))
    if missing and len(await user_store.insert_users(connection, tenant, missing)) != len(missing):
        raise RuntimeError("a name that this transaction holds was taken by another")
