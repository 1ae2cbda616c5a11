"""Creates many users in one transaction."""

from collections.abc import Mapping, Sequence, Set
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_scim.bulk import BulkResults
from quartet_scim.errors import ScimError
from quartet_users.bulk.bulk_domain import Step, Wanted, first_of_each_name, make_candidates, settle
from quartet_users.passwords import credential_store
from quartet_users.tenant_schemas.schema_usecases import hold_schemas
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
    """Create the users of a Bulk's steps as one set; `wanted` has them, or why one cannot be, by operation.

    Returns results with the outcomes, which hold because the transaction was committed; those given stay as they are.
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
        await hold_schemas(work.connection, caller.tenant, [one.user.attributes for one in made])
        hashes = [(one.user.id, one.password_hash) for one in made if one.password_hash is not None]
        if hashes:
            await credential_store.set_passwords(work.connection, caller.tenant, hashes, now)
        work.publish(event for one in made for event in one.events)
    return settled


async def _correct(connection: Connection, tenant: str, stored: Set[UUID], made: Sequence[User]) -> None:
    """Have the users that are `made` in the place of those that were `stored` to find out which names are taken.

    They differ where a user fails with what it refers to: its name is then for another one of the set to have.
    """
    wrong = stored - {user.id for user in made}
    missing = [user for user in made if user.id not in stored]
    if wrong:
        await user_store.delete_users(connection, tenant, list(wrong))
    if missing and len(await user_store.insert_users(connection, tenant, missing)) != len(missing):
        raise RuntimeError("a name that this transaction holds was taken by another")
