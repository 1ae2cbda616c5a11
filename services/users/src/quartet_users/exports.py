"""Exports: the functions that stream the rows of `/users/data/export`, by kind."""

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

from quartet_common.data.connections import Connection
from quartet_users.api_clients import api_client_store
from quartet_users.origins import origin_store
from quartet_users.passwords import credential_store
from quartet_users.roles import grant_store, role_store
from quartet_users.scim_tokens import scim_token_store
from quartet_users.sessions import session_store
from quartet_users.tenant_schemas import schema_store
from quartet_users.tenants import tenant_store
from quartet_users.users import user_store

EXPORTERS: Mapping[str, Callable[[Connection, str], AsyncIterator[bytes]]] = MappingProxyType(
    {
        "tenant": tenant_store.export_tenant,
        "schema": schema_store.export_schemas,
        "user": user_store.export_users,
        "credential": credential_store.export_credentials,
        "session": session_store.export_sessions,
        "role": role_store.export_roles,
        "role_grant": grant_store.export_grants,
        "client": api_client_store.export_clients,
        "client_secret": api_client_store.export_client_secrets,
        "origin": origin_store.export_origins,
        "scim_token": scim_token_store.export_scim_tokens,
    }
)
"""The exported data of a tenant. tests/conventions/test_exports.py has the reason for each table not exported."""
