"""Docs: a page that shows the service's OpenAPI document, with Swagger UI from the installed package."""

from importlib.resources import files
from pathlib import Path

from quart import Blueprint, Response, request, send_from_directory
from quart_schema import hide
from werkzeug.exceptions import NotFound

from quartet_common.config.settings import ServiceConfig
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import public

ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quartet {service}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/{service}/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/{service}/docs/swagger-ui-bundle.js"></script>
<script src="/{service}/docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({{url: "/{service}/openapi.json", dom_id: "#docs", deepLinking: true}});\n'
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)


STATIC = Path(str(files("swagger_ui"))) / "static"

blueprint = Blueprint("docs", __name__)


@blueprint.get("", strict_slashes=False)
@public
@hide
async def page() -> Response:
    """The page; it loads nothing from elsewhere."""
    return Response(
        PAGE.format(service=_service()),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY},
    )


@blueprint.get("/<name>")
@public
@hide
async def asset(name: str) -> Response:
    """A file of the page."""
    if name == "start.js":
        response = Response(START.format(service=_service()), content_type="text/javascript; charset=utf-8")
        await response.add_etag()
        await response.make_conditional(request)
    elif name in ASSETS:
        response = await send_from_directory(STATIC, name)  # with an ETag
    else:
        raise NotFound
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def _service() -> str:
    return app_container(ServiceConfig).config.service
