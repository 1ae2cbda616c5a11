"""Exports of logins: who has a password and since when, and the sessions of people, without hashes and tokens."""

from quartet_common.data.row_exports import json_rows

credentials = json_rows(
    "SELECT user_id, changed_at, must_change FROM credentials WHERE tenant_id = $1 ORDER BY user_id"
)
sessions = json_rows(
    """
    SELECT id, user_id, client_id, created_at, last_used_at, ends_at, expires_at, source_address, user_agent
    FROM sessions WHERE tenant_id = $1 ORDER BY id
    """
)
