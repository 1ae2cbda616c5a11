"""Exports of API clients: what they may do, their public keys, and what is known of their secrets."""

from quartet_common.data.row_exports import json_rows

clients = json_rows(
    """
    SELECT id, name, scopes, authentication, jwks, version, created_at, created_by, modified_at, expires_at,
           last_used_at
    FROM clients WHERE tenant_id = $1 ORDER BY id
    """,
    jsonb=("jwks",),
)
client_secrets = json_rows(
    """
    SELECT client_id, id, hint, created_at, expires_at, last_used_at FROM client_secrets
    WHERE tenant_id = $1 ORDER BY client_id, id
    """
)
