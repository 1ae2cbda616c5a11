"""Exports of SCIM tokens: all that is known of them but the tokens themselves."""

from quartet_common.data.row_exports import json_rows

scim_tokens = json_rows(
    """
    SELECT id, name, scopes, client_id, hint, created_at, created_by, expires_at, last_used_at, revoked_at
    FROM scim_tokens WHERE tenant_id = $1 ORDER BY id
    """
)
