"""Exports of tenants: what is known of the tenant itself."""

from quartet_common.data.row_exports import json_rows

tenant = json_rows(
    """
    SELECT tenant_id AS id, display_name, status, version, created_at, modified_at FROM tenants WHERE tenant_id = $1
    """
)
