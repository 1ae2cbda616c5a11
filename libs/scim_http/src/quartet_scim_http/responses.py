"""Responses of SCIM routes with one resource."""

from quart import Response

from quartet_common.web.service_request import running_request
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.preconditions import is_known_version
from quartet_scim.projection import Projection
from quartet_scim.render import etag
from quartet_serving.sending import add_headers


def resource_response(
    rendered: bytes, shown: Projection, *, version: int, location: str, status: int = 200
) -> Response:
    """The attributes of a rendered resource that `shown` has; 304 to a GET whose If-None-Match has its version.

    `location` is the resource's absolute URL, the same as its meta.location (RFC 7644 sections 3.1, 3.14).
    """
    asked = running_request()
    if asked.method in ("GET", "HEAD") and is_known_version(asked.headers.get("If-None-Match"), version):
        response = Response(b"", 304)
        del response.headers["Content-Type"]
    else:
        response = Response(shown.of(rendered), status, content_type=CONTENT_TYPE)
    add_headers(response, [("ETag", etag(version)), ("Location", location)])
    if status != 201:
        add_headers(response, [("Content-Location", location)])
    return response
