"""The HTTP application of the groups service. `app.py` names this module; a worker does not import it."""

from quart import Quart

from quartet_common.jobs import job_routes
from quartet_common.jobs.job_kinds import JobKinds
from quartet_common.runtime.archives import Archives
from quartet_common.runtime.container import AppContainer
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import data_export, dead_letters, rabbitmq, totals
from quartet_common.web.blueprints.data_archive import provide_archives
from quartet_common.web.blueprints.data_export import Exports
from quartet_common.web.dependencies import provide
from quartet_common.web.openapi import Reference
from quartet_groups import (
    bulk_routes,
    group_routes,
    group_store,
    member_store,
    membership_routes,
    privilege_routes,
    search_routes,
    users_client,
)
from quartet_groups.archives import ARCHIVED
from quartet_groups.bulk_usecases import GroupBulk
from quartet_groups.config import GroupsConfig
from quartet_groups.group_view import GroupView
from quartet_groups.imports.group_job_kinds import KINDS
from quartet_groups.membership_usecases import Membership
from quartet_groups.openapi_reference import EXAMPLES, PARAMETERS
from quartet_groups.total_store import read_totals
from quartet_groups.users_client import UserDirectory
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import ScimError
from quartet_scim.http import render_error
from quartet_scim.schema import group_resource_type
from quartet_scim_http.dialect import SCIM
from quartet_scim_http.requests import take_trailing_slashes

BLUEPRINTS = (
    group_routes.blueprint,
    bulk_routes.blueprint,
    privilege_routes.blueprint,
    membership_routes.blueprint,
    search_routes.blueprint,
    search_routes.internal_blueprint,
)


def create_app(container: AppContainer[GroupsConfig]) -> Quart:
    """The application with all its routes."""
    app = create_base_app(
        container,
        title="Quartet groups",
        render_error=render_error,
        other_errors=[ScimError],
        dialects=[SCIM],
        reference=Reference({**EXAMPLES, **rabbitmq.examples("groups")}, PARAMETERS),
    )
    _provide(app, container)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_blueprint(rabbitmq.blueprint, url_prefix="/groups/rabbitmq")
    app.register_blueprint(dead_letters.blueprint, url_prefix="/groups/rabbitmq")
    app.register_blueprint(totals.blueprint, url_prefix="/groups")
    app.register_blueprint(data_export.blueprint, url_prefix="/groups/data")
    app.register_blueprint(job_routes.blueprint, url_prefix="/groups/data")
    take_trailing_slashes(app)
    return app


def _provide(app: Quart, container: AppContainer[GroupsConfig]) -> None:
    """Register the objects that the handlers need."""
    users: UserDirectory = users_client.UsersClient(container.service_client("users", container.config.users_url))
    group_type, view = CompiledType.of(group_resource_type()), GroupView(f"{container.config.issuer}/scim/v2")
    provide(app, UserDirectory, users)
    provide(app, CompiledType, group_type)
    provide(app, GroupView, view)
    provide(app, GroupBulk, GroupBulk(container, users, group_type))
    provide(app, Membership, Membership(container, view))
    exporters = {"group": group_store.export_groups, "member": member_store.export_members}
    exports = Exports.of(container, exporters)
    provide(app, Exports, exports)
    provide_archives(app, Archives(container, ARCHIVED), exports)
    provide(app, JobKinds, KINDS)
    provide(app, totals.TotalsOf, totals.TotalsOf(read_totals))
