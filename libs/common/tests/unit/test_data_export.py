"""Exports: a stream that lasts as long as it lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from quart import Quart, g

from quartet_common.auth.principal import Principal
from quartet_common.web.blueprints import data_export
from quartet_common.web.dependencies import provide


@asynccontextmanager
async def snapshot(_: Any) -> AsyncIterator[None]:
    yield None


async def things(_: Any, tenant: str) -> AsyncIterator[bytes]:
    yield b'"%b"' % tenant.encode()


async def test_an_export_is_not_cut_off_however_long_it_takes(tmp_path: Path) -> None:
    app = Quart("test")
    config = SimpleNamespace(service="common", export_dir=tmp_path, export_bytes=1_000_000)
    container = SimpleNamespace(config=config, shares=[], database=SimpleNamespace(separate_snapshot=snapshot))
    provide(app, data_export.Exports, data_export.Exports.of(cast(Any, container), {"thing": things}))
    app.register_blueprint(data_export.blueprint)
    async with app.test_request_context("/export"):
        g.principal = Principal("acme", "bjensen", "scim", frozenset(), 0)
        response = await cast(Any, app.view_functions["data.export"])()
        assert response.timeout is None
        body = await response.get_data()
    assert body == b'{"kind":"thing","data":"acme"}\n{"kind":"end","count":1}\n'
