"""/Me: the user whose token it is (RFC 7644 section 3.11)."""

from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ME = "/scim/v2/Me"
SCOPES = ["users:read", "users:write"]


async def test_a_user_reads_changes_and_removes_itself(users: RunningService, tenant: str) -> None:
    admin = users.tokens.headers(tenant, SCOPES)
    body = {"schemas": [CORE], "userName": "bjensen"}
    made = await (await users.client.post("/scim/v2/Users", headers=admin, json=body)).get_json(force=True)
    mine = users.tokens.headers(tenant, SCOPES, actor=made["id"])
    read = await users.client.get(ME, headers=mine)
    assert await read.get_json(force=True) == made
    assert read.headers["Content-Location"] == made["meta"]["location"]
    operations = [{"op": "replace", "path": "displayName", "value": "Babs"}]
    message = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}
    patched = await users.client.patch(ME, headers={**mine, "If-Match": 'W/"1"'}, json=message)
    assert (await patched.get_json(force=True))["displayName"] == "Babs"
    replaced = await users.client.put(ME, headers=mine, json={**body, "title": "Guide"})
    assert (await replaced.get_json(force=True))["title"] == "Guide"
    assert (await users.client.get(f"{ME}?attributes=title", headers=mine)).status_code == 200
    stranger = users.tokens.headers(new_tenant(), SCOPES, actor=made["id"])
    assert (await users.client.get(ME, headers=stranger)).status_code == 404
    assert (await users.client.delete(ME, headers=mine)).status_code == 204
    assert (await users.client.get(ME, headers=mine)).status_code == 404


async def test_the_scopes_of_users_are_needed(users: RunningService, tenant: str) -> None:
    reader = users.tokens.headers(tenant, ["users:read"])
    assert (await users.client.get(ME)).status_code == 401
    assert (await users.client.delete(ME, headers=reader)).status_code == 403
    assert (await users.client.post(ME, headers=reader, json={})).status_code == 403
