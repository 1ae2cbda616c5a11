"""The application of the users service: the only place where it is wired."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from quartet_common.core.schedule import Schedule
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_users import group_marker_client
from quartet_users.config import UsersConfig
from quartet_users.roles import marks, scope_revocation
from quartet_users.sessions import session_ending
from quartet_users.subscriptions import subscriptions
from quartet_users.tokens import key_usecases
from quartet_users.users import name_keys

if TYPE_CHECKING:
    from quart import Quart

    from quartet_common.runtime.service_client import ServiceClient
    from quartet_users.groups_client import GroupDirectory
    from quartet_users.logins.failed_logins import FailedLogins
    from quartet_users.passwords.password_hashing import Passwords
    from quartet_users.tokens.key_ring import KeyRing

SESSIONS_INTERVAL = 60.0
"""Seconds between two looks at which sessions are over."""
PUBLIC = frozenset(
    {
        "oauth.token",
        "metadata.jwks",
        "metadata.server",
        "logins.log_in",
        "token_status.introspect",
        "token_status.revoke",
        "discovery.config_document",
        "discovery.all_types",
        "discovery.one_type",
        "discovery.all_schema_documents",
        "discovery.one_schema",
    }
)
"""Endpoints that need no token: they are how one gets or ends a token as a client, or are read before."""


def create_app(container: AppContainer[UsersConfig]) -> "Quart":
    """The HTTP application; the imports stand in functions so that the worker does not carry them."""
    from quartet_common.limits.limiter import EXTENSION as LIMITER
    from quartet_common.web.app import create_base_app
    from quartet_scim.errors import ScimError
    from quartet_scim_http.dialect import SCIM
    from quartet_scim_http.requests import take_trailing_slashes
    from quartet_users.errors import render_error
    from quartet_users.lockout.lockout import LOGIN, SECRET
    from quartet_users.logins.failed_logins import FailedLogins
    from quartet_users.oauth.oauth_routes import OAUTH
    from quartet_users.openapi_reference import REFERENCE
    from quartet_users.tenants.tenant_usecases import ensure_first_tenants
    from quartet_users.tokens.key_ring import KeyRing

    config, forget = container.config, container.forget_tokens
    secret = config.master_key.get_secret_value()
    keys = KeyRing(lambda: container.database, secret, container.clock, config.token_lifetime, forget)
    container.key_finder, container.key_refresh = container.key_finder or keys.find, keys.refresh
    failures = FailedLogins(config.service, lambda: container.database, container.clock, config.refusal_window)
    app = create_base_app(
        container,
        title="Quartet users",
        public=PUBLIC,
        render_error=render_error,
        other_errors=[ScimError],
        dialects=[SCIM, OAUTH],
        reference=REFERENCE,
        background=[failures],
    )
    app.extensions[LIMITER].start_counts(LOGIN, SECRET)
    app.before_serving(require_keys(keys))
    app.before_serving(partial(ensure_first_tenants, container))
    passwords = _make_passwords(config)
    container.shares.append(passwords.share)
    client = container.service_client("groups", config.groups_url)  # one, so that all calls share its breaker
    _add_scim(app, container, passwords, client)
    _add_logins(app, container, keys, passwords, failures)
    _add_tokens(app, container, keys)
    _add_administration(app, container, passwords, client)
    _add_operations(app, container)
    take_trailing_slashes(app)
    return app


def _find_groups(config: UsersConfig, client: "ServiceClient") -> "GroupDirectory":
    """The groups service as searches ask it, or none where none is configured."""
    from quartet_users import groups_client

    return groups_client.GroupSearchClient(client) if config.groups_url else groups_client.NoGroups()


def _add_scim(
    app: "Quart", container: AppContainer[UsersConfig], passwords: "Passwords", client: "ServiceClient"
) -> None:
    """The SCIM protocol: users, searches, Bulk, discovery, and the schemas of tenants. `client` calls groups."""
    from quartet_users.bulk import group_operations_client
    from quartet_users.bulk.bulk_routes import bulk_blueprint
    from quartet_users.bulk.bulk_usecases import BulkDependencies
    from quartet_users.search.search_routes import search_blueprint
    from quartet_users.tenant_schemas.discovery_routes import discovery_blueprint
    from quartet_users.tenant_schemas.schema_routes import schemas_blueprint
    from quartet_users.tenant_schemas.user_types import UserTypes
    from quartet_users.users.user_routes import scim_blueprint
    from quartet_users.users.user_view import UserView

    base, groups = f"{container.config.issuer}/scim/v2", _find_groups(container.config, client)
    types, view = UserTypes(lambda: container.database), UserView(base)
    means = BulkDependencies(container, passwords, group_operations_client.GroupOperationsClient(client))
    for blueprint in (
        scim_blueprint(container, types, passwords, view),
        search_blueprint(container, types, groups, view),
        bulk_blueprint(means, types, base),
        discovery_blueprint(container, types),
    ):
        app.register_blueprint(blueprint, url_prefix="/scim/v2")
    app.register_blueprint(schemas_blueprint(container, types), url_prefix="/users")


def _add_tokens(app: "Quart", container: AppContainer[UsersConfig], keys: "KeyRing") -> None:
    """How tokens are given, introspected and ended: OAuth and SCIM tokens."""
    from quartet_users.lockout.lockout import SECRET, Lockout, secret_rules
    from quartet_users.oauth.grant_types import grants
    from quartet_users.oauth.metadata_routes import metadata_blueprint
    from quartet_users.oauth.oauth_routes import oauth_blueprint
    from quartet_users.oauth.token_status_routes import token_status_blueprint
    from quartet_users.oauth.token_status_usecases import TokenStatus
    from quartet_users.scim_tokens.scim_token_finder import ScimTokens
    from quartet_users.scim_tokens.scim_token_routes import scim_tokens_blueprint
    from quartet_users.tokens.key_routes import keys_blueprint

    scim_tokens = ScimTokens(lambda: container.database, container.clock)
    container.opaque_finder = container.opaque_finder or scim_tokens.principal
    given, lockout = grants(container, keys), Lockout(container, SECRET, secret_rules(container.config.limit_secrets))
    app.register_blueprint(oauth_blueprint(container, given, lockout))
    app.register_blueprint(metadata_blueprint(container, keys, given))
    app.register_blueprint(keys_blueprint(container, keys), url_prefix="/users")
    app.register_blueprint(token_status_blueprint(container, TokenStatus(container, scim_tokens), lockout))
    app.register_blueprint(scim_tokens_blueprint(container), url_prefix="/users")


def _make_passwords(config: UsersConfig) -> "Passwords":
    """What hashes and judges passwords."""
    from quartet_users.passwords.password_hashing import Passwords
    from quartet_users.passwords.password_policy import BreachedPasswords, PasswordPolicy

    breached = None if config.breached_passwords is None else BreachedPasswords.read(config.breached_passwords)
    return Passwords(PasswordPolicy(breached, config.password_min_length), threads=config.password_threads)


def _add_logins(
    app: "Quart",
    container: AppContainer[UsersConfig],
    keys: "KeyRing",
    passwords: "Passwords",
    failures: "FailedLogins",
) -> None:
    """Logins of people, and their sessions."""
    from quartet_users.lockout.lockout import LOGIN, Lockout, login_rules
    from quartet_users.logins.login_routes import logins_blueprint
    from quartet_users.logins.login_usecases import LoginDependencies
    from quartet_users.sessions.session_routes import sessions_blueprint

    lockout = Lockout(container, LOGIN, login_rules(container.config.limit_logins))
    means = LoginDependencies(container, keys, passwords, lockout, failures)
    app.register_blueprint(logins_blueprint(means), url_prefix="/users")
    app.register_blueprint(sessions_blueprint(container), url_prefix="/users")


def _add_administration(
    app: "Quart", container: AppContainer[UsersConfig], passwords: "Passwords", client: "ServiceClient"
) -> None:
    """What administrators do beside SCIM. `client` calls groups."""
    from quartet_users.api_clients.api_client_routes import api_clients_blueprint
    from quartet_users.roles.grant_routes import role_grants_blueprint
    from quartet_users.roles.role_routes import roles_blueprint
    from quartet_users.tenants.tenant_routes import tenants_blueprint

    groups = _find_groups(container.config, client)
    app.register_blueprint(tenants_blueprint(container, passwords), url_prefix="/users")
    app.register_blueprint(api_clients_blueprint(container), url_prefix="/users")
    app.register_blueprint(roles_blueprint(container), url_prefix="/users")
    app.register_blueprint(role_grants_blueprint(container, groups), url_prefix="/users")


def _add_operations(app: "Quart", container: AppContainer[UsersConfig]) -> None:
    """What the other services and operators ask for."""
    from quartet_common.web.blueprints.data_export import data_blueprint
    from quartet_common.web.blueprints.rabbitmq import rabbitmq_blueprint
    from quartet_users.exports import EXPORTERS
    from quartet_users.users.user_lookup_routes import internal_blueprint

    app.register_blueprint(internal_blueprint(container), url_prefix="/users")
    app.register_blueprint(rabbitmq_blueprint(container), url_prefix="/users/rabbitmq")
    app.register_blueprint(data_blueprint(container, EXPORTERS, "tenant:admin"), url_prefix="/users/data")


def require_keys(keys: "KeyRing") -> Callable[[], Awaitable[None]]:
    """Make or read the signing keys before the first request, so that a wrong master key ends the start."""

    from quartet_users.tokens.key_ring import WrongMasterKeyError

    async def load() -> None:
        try:
            await keys.signing_pair()
        except WrongMasterKeyError as error:
            raise SystemExit(str(error)) from error

    return load


def schedules(container: AppContainer[UsersConfig]) -> list[Schedule]:
    """What the worker does again and again."""
    groups = group_marker_client.GroupMarker(container.service_client("groups", container.config.groups_url))
    return [
        Schedule("key-rotation", key_usecases.ROTATION_INTERVAL, partial(key_usecases.rotate_by_age, container)),
        Schedule("scope-losses", scope_revocation.INTERVAL, partial(scope_revocation.revoke_rest, container)),
        Schedule("marks", marks.INTERVAL, partial(marks.mark_granted_groups, container, groups)),
        Schedule("sessions", SESSIONS_INTERVAL, lambda: session_ending.prune(container)),
        tenant_deletion.erasing(container, tenant_deletion.Erasure(staying={"tenants"})),
    ]


SERVICE = Service(
    package="quartet_users",
    config_class=UsersConfig,
    create_app=create_app,
    subscriptions=subscriptions,
    schedules=schedules,
    after_migrations=name_keys.prepare_all,
)
