"""Exports: what `/users/data/export` streams, by kind."""

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

from quartet_common.data.connections import Connection
from quartet_users.api_clients import exports as api_clients
from quartet_users.logins import exports as logins
from quartet_users.roles import exports as roles
from quartet_users.scim import exports as scim
from quartet_users.tenants import exports as tenants
from quartet_users.tokens import exports as tokens

EXPORTERS: Mapping[str, Callable[[Connection, str], AsyncIterator[bytes]]] = MappingProxyType(
    {
        "tenant": tenants.tenant,
        "schema": scim.schemas,
        "user": scim.users,
        "credential": logins.credentials,
        "session": logins.sessions,
        "role": roles.roles,
        "role_grant": roles.grants,
        "client": api_clients.clients,
        "client_secret": api_clients.client_secrets,
        "scim_token": tokens.scim_tokens,
    }
)
"""What a tenant has here. tests/conventions/test_exports.py says of each other table why it is not exported."""
