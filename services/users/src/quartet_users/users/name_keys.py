"""Replaces keys of userNames by their prepared form (RFC 7644 section 5), which older releases did not use."""

import logging
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_scim.usernames import prepare
from quartet_users.users import name_key_store

logger = logging.getLogger(__name__)


async def prepare_all(connection: Connection) -> None:
    """Give each user of `unprepared_names` the prepared form of its name as key, unless another user has that key.

    Two users whose names have become equal both stay. The second one keeps its old key, by which it is found by its
    exact spelling, and its row, until one of the two is renamed or deleted. Logs a warning for each.
    """
    async with connection.transaction():
        await name_key_store.add_unprepared(connection, prepare)
        names = await name_key_store.lock_unprepared(connection)
        if not names:
            return
        wanted = {user: (user[0], prepare(name)) for user, name in names.items()}
        holders = await name_key_store.holders_of(connection, set(wanted.values()))
        equal: dict[tuple[str, UUID], UUID] = {}
        for user, key in wanted.items():
            holder = holders.setdefault(key, user[1])
            if holder != user[1]:
                equal[user] = holder
        fresh = [(*user, key) for user, (_, key) in wanted.items() if user not in equal]
        await name_key_store.replace_keys(connection, fresh, equal)
    for (tenant, user_id), holder in equal.items():
        logger.warning(
            "two users have equal names: rename or delete one of them, then run migrate again",
            extra={"tenant": tenant, "user": str(user_id), "equal_to": str(holder)},
        )
