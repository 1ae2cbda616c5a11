"""Exports of roles: each with its scopes, and to whom it is granted."""

from quartet_common.data.row_exports import json_rows

roles = json_rows(
    """
    SELECT id, name, description, scopes, version, created_at, modified_at FROM roles
    WHERE tenant_id = $1 ORDER BY id
    """
)
grants = json_rows(
    """
    SELECT role_id, grantee_type, grantee_id, granted_at, granted_by FROM role_grants
    WHERE tenant_id = $1 ORDER BY grantee_id, role_id
    """
)
