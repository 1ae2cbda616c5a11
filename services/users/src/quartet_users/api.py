"""The HTTP application of the users service. `app.py` names this module; a worker does not import it."""

from functools import partial

from quart import Quart

from quartet_common.auth.sealing import WrongMasterKeyError
from quartet_common.jobs import job_routes
from quartet_common.jobs.job_kinds import JobKinds
from quartet_common.limits.limiter import EXTENSION as LIMITER
from quartet_common.runtime.container import AppContainer
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import data_export, dead_letters, rabbitmq, totals
from quartet_common.web.blueprints.data_archive import provide_archives
from quartet_common.web.blueprints.data_export import Exports
from quartet_common.web.dependencies import provide
from quartet_common.web.openapi import Reference
from quartet_scim.errors import ScimError
from quartet_scim_http.dialect import SCIM
from quartet_scim_http.requests import take_trailing_slashes
from quartet_users import groups_client
from quartet_users.api_clients import api_client_routes
from quartet_users.archives import archives_of
from quartet_users.bulk import bulk_routes, group_operations_client
from quartet_users.bulk.bulk_usecases import BulkDependencies
from quartet_users.config import UsersConfig
from quartet_users.errors import render_error
from quartet_users.exports import EXPORTERS
from quartet_users.groups_client import GroupDirectory
from quartet_users.imports.user_job_kinds import KINDS
from quartet_users.lockout.lockout import LOGIN, SECRET, Lockout, login_rules, secret_rules
from quartet_users.logins import login_routes
from quartet_users.logins.failed_logins import FailedLogins
from quartet_users.logins.login_usecases import LoginDependencies
from quartet_users.oauth import metadata_routes, oauth_routes, token_status_routes
from quartet_users.oauth.grant_types import Grants
from quartet_users.oauth.metadata_routes import server_document
from quartet_users.oauth.oauth_models import ServerDocument
from quartet_users.oauth.token_status_usecases import TokenStatus
from quartet_users.openapi_reference import EXAMPLES, PARAMETERS
from quartet_users.origins import origin_routes
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.passwords.password_policy import BreachedPasswords, PasswordPolicy
from quartet_users.roles import grant_routes, role_routes
from quartet_users.scim_tokens import scim_token_routes
from quartet_users.scim_tokens.scim_token_finder import ScimTokens
from quartet_users.search import search_routes
from quartet_users.sessions import session_routes
from quartet_users.tenant_schemas import discovery_routes, schema_routes
from quartet_users.tenant_schemas.user_types import UserTypes
from quartet_users.tenants import tenant_routes
from quartet_users.tenants.tenant_usecases import ensure_first_tenants
from quartet_users.tokens import key_routes
from quartet_users.tokens.key_ring import KeyRing
from quartet_users.totals.total_store import read_totals
from quartet_users.users import user_lookup_routes, user_routes
from quartet_users.users.user_view import UserView

BLUEPRINTS = (
    user_routes.blueprint,
    search_routes.blueprint,
    bulk_routes.blueprint,
    discovery_routes.blueprint,
    schema_routes.blueprint,
    login_routes.blueprint,
    session_routes.blueprint,
    oauth_routes.blueprint,
    metadata_routes.blueprint,
    key_routes.blueprint,
    token_status_routes.blueprint,
    scim_token_routes.blueprint,
    origin_routes.blueprint,
    tenant_routes.blueprint,
    api_client_routes.blueprint,
    role_routes.blueprint,
    grant_routes.blueprint,
    user_lookup_routes.blueprint,
)


def create_app(container: AppContainer[UsersConfig]) -> Quart:
    """The application with all its routes."""
    config = container.config
    failures = FailedLogins(config.service, lambda: container.database, container.clock, config.refusal_window)
    app = create_base_app(
        container,
        title="Quartet users",
        render_error=render_error,
        other_errors=[ScimError],
        dialects=[SCIM, oauth_routes.OAUTH],
        reference=Reference({**EXAMPLES, **rabbitmq.examples("users")}, PARAMETERS),
        background=[failures],
    )
    app.extensions[LIMITER].start_counts(LOGIN, SECRET)
    keys, passwords = _make_keys(container), _make_passwords(container)
    app.before_serving(partial(require_keys, keys))
    app.before_serving(partial(ensure_first_tenants, container))
    provide(app, Passwords, passwords)
    exports = Exports.of(container, EXPORTERS)
    provide(app, Exports, exports)
    provide_archives(app, archives_of(container), exports)
    provide(app, JobKinds, KINDS)
    provide(app, totals.TotalsOf, totals.TotalsOf(read_totals))
    _provide_scim(app, container, passwords)
    _provide_logins(app, container, keys, passwords, failures)
    _provide_tokens(app, container, keys)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_blueprint(rabbitmq.blueprint, url_prefix="/users/rabbitmq")
    app.register_blueprint(dead_letters.blueprint, url_prefix="/users/rabbitmq")
    app.register_blueprint(totals.blueprint, url_prefix="/users")
    app.register_blueprint(data_export.blueprint, url_prefix="/users/data")
    app.register_blueprint(job_routes.blueprint, url_prefix="/users/data")
    take_trailing_slashes(app)
    return app


def _make_keys(container: AppContainer[UsersConfig]) -> KeyRing:
    """The signing keys; they also verify the tokens of requests, unless the container was given other keys."""
    config, secret = container.config, container.config.master_key.get_secret_value()
    database, forget = lambda: container.database, container.forget_tokens
    keys = KeyRing(database, secret, container.clock, config.token_lifetime, forget)
    container.key_finder, container.key_refresh = container.key_finder or keys.find, keys.refresh
    return keys


def _make_passwords(container: AppContainer[UsersConfig]) -> Passwords:
    """The hashing and the policy of passwords."""
    config = container.config
    breached = None if config.breached_passwords is None else BreachedPasswords.read(config.breached_passwords)
    passwords = Passwords(PasswordPolicy(breached, config.password_min_length), threads=config.password_threads)
    container.shares.append(passwords.share)
    return passwords


def _provide_scim(app: Quart, container: AppContainer[UsersConfig], passwords: Passwords) -> None:
    """The objects for users, searches, Bulk, discovery, schemas and roles; all share one circuit breaker for groups."""
    config, client = container.config, container.service_client("groups", container.config.groups_url)
    provide(app, UserTypes, UserTypes(lambda: container.database))
    provide(app, UserView, UserView(f"{config.issuer}/scim/v2"))
    groups: GroupDirectory = groups_client.NoGroups()
    if config.groups_url:
        groups = groups_client.GroupSearchClient(client)
    provide(app, GroupDirectory, groups)
    operations = group_operations_client.GroupOperationsClient(client)
    provide(app, BulkDependencies, BulkDependencies(container, passwords, operations))


def _provide_logins(
    app: Quart, container: AppContainer[UsersConfig], keys: KeyRing, passwords: Passwords, failures: FailedLogins
) -> None:
    lockout = Lockout(container, LOGIN, login_rules(container.config.limit_logins))
    provide(app, LoginDependencies, LoginDependencies(container, keys, passwords, lockout, failures))


def _provide_tokens(app: Quart, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
    """The objects for OAuth endpoints, signing keys and SCIM tokens; `Lockout` is that for secrets of clients."""
    grants = Grants.of(container, keys)
    scim_tokens = ScimTokens(lambda: container.database, container.clock)
    container.opaque_finder = container.opaque_finder or scim_tokens.principal
    provide(app, KeyRing, keys)
    provide(app, Grants, grants)
    provide(app, ServerDocument, server_document(container.config.issuer, grants))
    provide(app, TokenStatus, TokenStatus(container, scim_tokens))
    provide(app, Lockout, Lockout(container, SECRET, secret_rules(container.config.limit_secrets)))


async def require_keys(keys: KeyRing) -> None:
    """Create or read the signing keys before the first request, so that the process does not start with a wrong key."""
    try:
        await keys.signing_pair()
    except WrongMasterKeyError as error:
        raise SystemExit(str(error)) from error
