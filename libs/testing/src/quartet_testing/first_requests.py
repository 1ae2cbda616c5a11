"""The first requests of a service, in a process of its own: what each of them still had to import.

Run: python -m quartet_testing.first_requests SERVICE < {"key": JWK or null, "requests": [[method, path,
headers, body], ...]}; prints the connections of the pool before the first request, and for each request its status and
the modules that it imported.
"""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any


async def run(service: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Start the app, as its api process does, and send the requests."""
    from quartet_common.config.settings import load_config
    from quartet_common.runtime.container import AppContainer

    found = import_module(f"quartet_{service}.app").SERVICE
    container: AppContainer[Any] = AppContainer(load_config(found.config_class))
    if asked["key"] is not None:
        container.key_finder = _finder(asked["key"])
    app = found.create_app(container)
    client = app.test_client()
    async with app.test_app():
        connections = container.database.pool.get_size()
        return {"connections": connections, "answers": [await _ask(client, *one) for one in asked["requests"]]}


async def _ask(client: Any, method: str, path: str, headers: dict[str, str], body: str) -> dict[str, Any]:
    before = set(sys.modules)
    answer = await client.open(path, method=method, headers=headers, data=body.encode())
    return {"request": f"{method} {path}", "status": answer.status_code, "modules": sorted(set(sys.modules) - before)}


def _finder(jwk: dict[str, Any]) -> Any:
    async def find(_: str) -> Any:
        from joserfc.jwk import ECKey

        return ECKey.import_key(jwk)

    return find


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(run(sys.argv[1], json.loads(sys.stdin.read())))) + "\n")
