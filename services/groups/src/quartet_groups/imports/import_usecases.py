"""The use case of import jobs: first each group of a file is created or changed, then members are added.

So groups may be nested in any order. The position of the job counts the records of both passes.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from uuid import UUID

from quartet_common.core.errors import MissingScopesError
from quartet_common.core.identifiers import new_id
from quartet_common.jobs.job_domain import JobError
from quartet_common.jobs.running_job import RunningJob, SetOutcome
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_directory_formats import FormatError, LineError, Options, Record, parse
from quartet_groups import group_domain, group_store
from quartet_groups.events import NestedGroup
from quartet_groups.group_domain import Group
from quartet_groups.imports import import_store
from quartet_groups.imports.import_domain import Batch, Incoming, Item, Key, Refused, batches, key_of, merge, read_item
from quartet_groups.imports.membership_set import MembershipSet
from quartet_groups.imports.reference_resolution import References
from quartet_groups.member_domain import MemberChange, Members
from quartet_groups.privilege_usecases import UncheckedGroupsError, require_scopes_of_groups
from quartet_groups.users_client import UserDirectory
from quartet_scim.compiled_type import CompiledType
from quartet_scim.schema import group_resource_type

SET = 200
"""Groups of one transaction."""
SEVERAL = "Several groups have this externalId or displayName. Give each an externalId, and use match=externalId."


class GroupImport:
    """One import job."""

    def __init__(self, job: RunningJob, directory: UserDirectory) -> None:
        self._job = job
        self._directory = directory
        self._normaliser = CompiledType.of(group_resource_type()).normaliser
        self._references = References(job.container, directory, job.state.caller)
        self._checked: frozenset[UUID] = frozenset()
        self._refused: dict[UUID, str] = {}

    async def run(self) -> None:
        """Import the file of the job. Raises JobError if it cannot be read at all."""
        records = self._job.state.saved.get("records")
        if records is None:
            async for some in self._job.sets(self._items(self._job.state.position), SET):
                await self._job.run_set(len(some), partial(self._store_groups, some))
            records = self._job.state.position
            await self._job.run_set(0, partial(_save, records))
        if self._job.state.is_dry_run:
            await self._plan_groups()
        found = batches(self._records(self._job.state.position - records))
        async for [batch] in self._job.sets(found, 1):
            await self._add_members(batch)

    def _records(self, skip: int) -> Iterator[tuple[Record | LineError, Item]]:
        """The records of the file with their items; read in a thread."""
        options = Options(
            mapping=self._job.options.get("mapping") or {},
            delimiter=self._job.options.get("delimiter") or None,
            encoding=self._job.options.get("encoding") or None,
        )
        match = self._job.options["match"]
        try:
            for found in parse(self._job.state.format, self._job.open_file, options, skip):
                yield found, read_item(self._normaliser, found, match)
        except FormatError as error:
            raise JobError(str(error)) from None

    def _items(self, skip: int) -> Iterator[Item]:
        return (item for _, item in self._records(skip))

    async def _store_groups(self, items: Sequence[Item], work: UnitOfWork, outcome: SetOutcome) -> None:
        for item in items:
            if isinstance(item, Refused):
                outcome.fail(item.line, item.reason, item.value)
        incoming = [item for item in items if isinstance(item, Incoming)]
        await GroupSet(self._job, work, outcome).store(incoming)

    async def _plan_groups(self) -> None:
        """In a dry run: remember the groups of the file that there are not, as if they were created."""
        planned = self._references.planned
        async for some in self._job.sets(self._items(0), SET):
            incoming = [item for item in some if isinstance(item, Incoming)]
            for one in incoming:
                name = str(one.attributes["displayName"])
                external_id = one.attributes.get("externalId")
                group = NestedGroup(new_id(), name)
                if isinstance(external_id, str) and external_id not in planned.by_external_id:
                    planned.by_external_id[external_id].append(group)
                if name.lower() not in planned.by_name:
                    planned.by_name[name.lower()].append(group)

    async def _add_members(self, batch: Batch) -> None:
        """Add the members of some records in one transaction."""
        edges = batch.edges
        resolved = await self._references.resolve([one for edge in edges for one in (edge.parent, edge.member)])
        planned = self._references.planned.ids()
        while True:
            memberships = MembershipSet(edges, resolved, planned, self._checked, self._refused)
            try:
                await self._job.run_set(batch.records, memberships.store)
                return
            except UncheckedGroupsError as error:
                unchecked = error.groups
            for group in unchecked:
                await self._check(group)

    async def _check(self, group: UUID) -> None:
        """Find out whether the caller may change the members of a group that carries roles."""
        caller = self._job.state.caller
        try:
            await require_scopes_of_groups(self._job.container, self._directory, caller, [group])
        except MissingScopesError as error:
            self._refused[group] = error.detail
        self._checked |= {group}


async def _save(records: int, _: UnitOfWork, outcome: SetOutcome) -> None:
    outcome.saved = {"records": records}


class GroupSet:
    """Groups of a set, in its transaction."""

    def __init__(self, job: RunningJob, work: UnitOfWork, outcome: SetOutcome) -> None:
        self._match = job.options["match"]
        self._work = work
        self._outcome = outcome
        self._groups: dict[UUID, Group] = {}
        self._ids: dict[Key, list[UUID]] = {}

    async def store(self, incoming: Sequence[Incoming]) -> None:
        """Create those that are new, and change the others."""
        await self._find({one.key for one in incoming})
        for one in incoming:
            ids = self._ids.setdefault(one.key, [])
            if len(ids) > 1:
                self._outcome.fail(one.line, SEVERAL, one.key.value)
                continue
            for note in one.notes:
                self._outcome.note(one.line, note)
            if ids:
                await self._change(one, self._groups[ids[0]])
            else:
                await self._create(one)

    async def _find(self, keys: set[Key]) -> None:
        """Find and lock the groups with these keys."""
        connection, tenant = self._work.connection, self._work.tenant
        texts = {by: [key.value for key in keys if key.by == by] for by in ("externalId", "displayName")}
        found = await import_store.find_groups(connection, tenant, texts["externalId"], texts["displayName"])
        named = {Key("externalId", text): groups for text, groups in found.by_external_id.items()}
        named |= {Key("displayName", text): groups for text, groups in found.by_name.items()}
        ids = [group.id for groups in named.values() for group in groups]
        self._groups = {group.id: group for group in await group_store.lock_groups(connection, tenant, ids)}
        self._ids = {key: [one.id for one in groups if one.id in self._groups] for key, groups in named.items()}

    async def _create(self, one: Incoming) -> None:
        work = self._work
        group, events = group_domain.create(new_id(), one.attributes, Members(), work.now())
        await group_store.insert_group(work.connection, work.tenant, group)
        work.publish(events)
        self._groups[group.id] = group
        for key in {key_of(one.attributes, self._match), key_of(one.attributes, "displayName")}:
            self._ids.setdefault(key, []).append(group.id)
        self._outcome.done += 1

    async def _change(self, one: Incoming, before: Group) -> None:
        work = self._work
        attributes = merge(before.attributes, one.attributes)
        group, events = group_domain.change(before, attributes, MemberChange(), work.now())
        if not events:
            self._outcome.skipped += 1
            return
        await group_store.update_group(work.connection, work.tenant, group)
        work.publish(events)
        self._groups[group.id] = group
        self._outcome.done += 1
