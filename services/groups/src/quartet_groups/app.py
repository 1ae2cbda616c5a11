"""The application of the groups service: the only place where it is wired."""

from typing import TYPE_CHECKING

from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_groups.config import GroupsConfig
from quartet_groups.subscriptions import subscriptions

if TYPE_CHECKING:
    from quart import Quart


def create_app(container: AppContainer[GroupsConfig]) -> "Quart":
    """The HTTP application; the imports stand here so that the worker does not carry them."""
    from quartet_common.web.app import create_base_app
    from quartet_common.web.blueprints.data_export import data_blueprint
    from quartet_common.web.blueprints.rabbitmq import rabbitmq_blueprint
    from quartet_groups import group_store, member_store, users_client
    from quartet_groups.bulk_routes import bulk_blueprint
    from quartet_groups.bulk_usecases import GroupBulk
    from quartet_groups.group_routes import scim_blueprint
    from quartet_groups.group_view import GroupView
    from quartet_groups.membership_routes import membership_blueprint
    from quartet_groups.membership_usecases import Membership
    from quartet_groups.openapi_reference import REFERENCE
    from quartet_groups.privilege_routes import privileges_blueprint
    from quartet_groups.search_routes import internal_search_blueprint, search_blueprint
    from quartet_scim.compiled_type import CompiledType
    from quartet_scim.errors import ScimError
    from quartet_scim.http import render_error
    from quartet_scim.schema import group_resource_type
    from quartet_scim_http.dialect import SCIM
    from quartet_scim_http.requests import take_trailing_slashes

    users = users_client.UsersClient(container.service_client("users", container.config.users_url))
    app = create_base_app(
        container,
        title="Quartet groups",
        render_error=render_error,
        other_errors=[ScimError],
        dialects=[SCIM],
        reference=REFERENCE,
    )
    group_type, view = CompiledType.of(group_resource_type()), GroupView(f"{container.config.issuer}/scim/v2")
    app.register_blueprint(scim_blueprint(container, users, group_type, view), url_prefix="/scim/v2")
    app.register_blueprint(bulk_blueprint(GroupBulk(container, users, group_type)), url_prefix="/groups")
    app.register_blueprint(privileges_blueprint(container), url_prefix="/groups")
    app.register_blueprint(membership_blueprint(Membership(container, view)), url_prefix="/groups")
    app.register_blueprint(search_blueprint(container, group_type, view), url_prefix="/scim/v2")
    app.register_blueprint(internal_search_blueprint(container, group_type, view), url_prefix="/groups")
    app.register_blueprint(rabbitmq_blueprint(container), url_prefix="/groups/rabbitmq")
    exporters = {"group": group_store.export_groups, "member": member_store.export_members}
    app.register_blueprint(data_blueprint(container, exporters, "tenant:admin"), url_prefix="/groups/data")
    take_trailing_slashes(app)
    return app


SERVICE = Service(
    package="quartet_groups",
    config_class=GroupsConfig,
    create_app=create_app,
    subscriptions=subscriptions,
    schedules=lambda container: [tenant_deletion.erasing(container)],
)
