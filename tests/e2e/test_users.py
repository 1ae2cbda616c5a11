"""Users through the proxy: each command is answered, readable, audited exactly once and counted once."""

from quartet_testing.client import USERS, Api, patch_document, unique, user_document
from quartet_testing.conditions import eventually

CREATED, UPDATED, DELETED = "users.user.created", "users.user.updated", "users.user.deleted"


async def in_order(api: Api) -> None:
    """Returns when everything that users did before this call is in the audit log: it takes events in order."""
    marker = await api.create_user()
    await api.entries_of(marker["id"], CREATED)


async def test_a_created_user_can_be_read_at_once_as_in_the_response(api: Api) -> None:
    created = await api.post(USERS, json=user_document(displayName="Barbara Jensen"))
    user = created.json()
    assert created.status_code == 201
    assert created.headers["Location"] == user["meta"]["location"]
    read = await api.get(f"{USERS}/{user['id']}")
    assert (read.status_code, read.json()) == (200, user)
    assert read.headers["ETag"] == user["meta"]["version"]
    found = await api.get(USERS, params={"filter": f'userName eq "{user["userName"].upper()}"'})
    assert found.json()["Resources"] == [user]


async def test_a_created_user_is_audited_exactly_once_and_counted_once(api: Api) -> None:
    await in_order(api)
    before = await api.settled_count(CREATED)
    user = await api.create_user()
    [entry] = await api.entries_of(user["id"], CREATED)
    assert entry["actor"] == "quartet-admin"
    assert entry["resource"] == {"type": "users", "id": user["id"]}
    assert entry["outcome"] == "success"
    assert entry["source_address"]
    assert entry["data"]["userName"] == user["userName"]
    await api.counted(CREATED, before + 1)
    await in_order(api)
    assert await api.entries(resource=user["id"]) == [entry]
    await api.counted(CREATED, before + 2)
    assert (await api.get(f"/audit/events/{entry['id']}")).json() == entry


async def test_a_replaced_user_is_audited_exactly_once_and_counted_once(api: Api) -> None:
    user = await api.create_user(displayName="Babs")
    await in_order(api)
    before = await api.settled_count(UPDATED)
    answer = await api.put(f"{USERS}/{user['id']}", json=user_document(userName=user["userName"], displayName="Barb"))
    assert (answer.status_code, answer.json()["displayName"]) == (200, "Barb")
    assert answer.headers["ETag"] != user["meta"]["version"]
    assert (await api.get(f"{USERS}/{user['id']}")).json() == answer.json()
    [entry] = await api.entries_of(user["id"], UPDATED)
    assert entry["data"]["changed"] == ["displayName"]
    assert entry["data"]["changes"] == [{"path": "displayName", "before": "Babs", "after": "Barb"}]
    await api.counted(UPDATED, before + 1)
    await in_order(api)
    assert await api.entries(resource=user["id"], action=UPDATED) == [entry]
    assert await api.count(UPDATED) == before + 1


async def test_a_deleted_user_is_gone_and_audited_exactly_once_and_counted_once(api: Api) -> None:
    user = await api.create_user()
    await in_order(api)
    before = await api.settled_count(DELETED)
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 204
    assert (await api.get(f"{USERS}/{user['id']}")).status_code == 404
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 404
    [entry] = await api.entries_of(user["id"], DELETED)
    await api.counted(DELETED, before + 1)
    await in_order(api)
    assert await api.entries(resource=user["id"], action=DELETED) == [entry]
    assert await api.count(DELETED) == before + 1


async def test_a_refused_command_leaves_no_event(api: Api) -> None:
    user = await api.create_user()
    refused = await api.post(USERS, json=user_document(userName=user["userName"]))
    assert refused.status_code == 409
    same = await api.put(f"{USERS}/{user['id']}", json=user_document(userName=user["userName"]))
    assert (same.status_code, same.headers["ETag"]) == (200, user["meta"]["version"])
    await in_order(api)
    assert [entry["action"] for entry in await api.entries(resource=user["id"])] == [CREATED]


async def test_a_user_name_that_differs_in_case_only_clashes(api: Api) -> None:
    name = f"{unique('bjensen')}@example.com"
    await api.create_user(userName=name)
    clash = await api.post(USERS, json=user_document(userName=name.upper()))
    assert (clash.status_code, clash.json()["scimType"]) == (409, "uniqueness")
    other = await api.create_user()
    renamed = await api.put(f"{USERS}/{other['id']}", json=user_document(userName=name.title()))
    assert (renamed.status_code, renamed.json()["scimType"]) == (409, "uniqueness")


async def test_the_events_of_one_user_are_logged_in_the_order_of_the_changes(api: Api) -> None:
    user = await api.create_user(displayName="0")
    for number in range(1, 11):
        document = user_document(userName=user["userName"], displayName=str(number))
        assert (await api.put(f"{USERS}/{user['id']}", json=document)).status_code == 200

    async def probe() -> bool:
        return len(await api.entries(resource=user["id"])) == 11

    await eventually(probe, "eleven entries")
    logged = sorted(await api.entries(resource=user["id"]), key=lambda entry: entry["sequence"])
    assert [entry["data"]["displayName"] for entry in logged] == [str(number) for number in range(11)]


async def test_a_patched_user_is_found_by_what_was_changed(api: Api) -> None:
    made = await api.create_user(displayName="Babs")
    rename = patch_document({"op": "Replace", "path": "displayName", "value": "Barbara"})
    answer = await api.patch(f"{USERS}/{made['id']}", json=rename)
    assert answer.status_code == 200, answer.text
    asked = {"filter": f'displayName eq "barbara" and userName eq "{made["userName"]}"', "attributes": "displayName"}
    found = (await api.get(USERS, params=asked)).json()["Resources"]
    assert found == [{"schemas": made["schemas"], "id": made["id"], "displayName": "Barbara"}]
