"""The types of all events that the users service publishes, with a JSON Schema each in schemas/."""

from quartet_common.messaging.event_types import ORIGIN_ADDED, ORIGIN_REMOVED, REVOKED, TENANT_DELETED
from quartet_users.api_clients import api_client_events
from quartet_users.logins.login_events import LOGIN_FAILED, LOGIN_SUCCEEDED
from quartet_users.roles.role_events import ROLE_CREATED, ROLE_DELETED, ROLE_GRANTED, ROLE_REVOKED, ROLE_UPDATED
from quartet_users.scim_tokens.scim_token_events import SCIM_TOKEN_CREATED, SCIM_TOKEN_REVOKED
from quartet_users.sessions.session_events import SESSION_ENDED
from quartet_users.tenant_schemas.schema_events import SCHEMA_CREATED, SCHEMA_DELETED
from quartet_users.tenants.tenant_events import (
    TENANT_CREATED,
    TENANT_RESTORED,
    TENANT_RESUMED,
    TENANT_SUSPENDED,
    TENANT_UPDATED,
)
from quartet_users.tokens.key_events import KEY_ROTATED
from quartet_users.users.user_events import CREATED, DELETED, UPDATED

PUBLISHED = (
    CREATED,
    UPDATED,
    DELETED,
    TENANT_CREATED,
    TENANT_UPDATED,
    TENANT_SUSPENDED,
    TENANT_RESUMED,
    TENANT_RESTORED,
    TENANT_DELETED,
    SCHEMA_CREATED,
    SCHEMA_DELETED,
    LOGIN_SUCCEEDED,
    LOGIN_FAILED,
    SESSION_ENDED,
    SCIM_TOKEN_CREATED,
    SCIM_TOKEN_REVOKED,
    ORIGIN_ADDED,
    ORIGIN_REMOVED,
    KEY_ROTATED,
    ROLE_CREATED,
    ROLE_UPDATED,
    ROLE_DELETED,
    ROLE_GRANTED,
    ROLE_REVOKED,
    REVOKED,
    *api_client_events.PUBLISHED,
)
