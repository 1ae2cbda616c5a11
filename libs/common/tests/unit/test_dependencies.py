"""Dependencies: each app of a process has its own, and a handler finds those of the app that runs it."""

from typing import Protocol

import pytest
from quart import Blueprint, Quart

from quartet_common.web.dependencies import dependency, provide


class Named(Protocol):
    name: str


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name


blueprint = Blueprint("things", __name__)


@blueprint.get("/class")
async def of_class() -> str:
    return dependency(Thing).name


@blueprint.get("/protocol")
async def of_protocol() -> str:
    return dependency(Named).name


def make_app(name: str) -> Quart:
    app = Quart(name)
    provide(app, Thing, Thing(name))
    named: Named = Thing(f"named {name}")
    provide(app, Named, named)
    app.register_blueprint(blueprint)
    return app


async def test_apps_that_share_a_blueprint_have_dependencies_of_their_own() -> None:
    clients = {name: make_app(name).test_client() for name in ("one", "other")}
    for name, client in clients.items():
        assert await (await client.get("/class")).get_data(as_text=True) == name
        assert await (await client.get("/protocol")).get_data(as_text=True) == f"named {name}"


def test_an_app_provides_one_object_for_a_class() -> None:
    app, thing = Quart("app"), Thing("thing")
    provide(app, Thing, thing)
    provide(app, Thing, thing)
    with pytest.raises(ValueError, match=r"already provides .*Thing"):
        provide(app, Thing, Thing("another"))


async def test_a_class_for_which_the_app_provides_nothing_is_an_error() -> None:
    async with Quart("app").app_context():
        with pytest.raises(KeyError):
            dependency(Thing)
