"""Routes of signing keys: platform administrators list and rotate them."""

from dataclasses import dataclass

from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, tag

from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.pages import read_parameters
from quartet_common.web.query_parameters import BadParameterError
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.tokens import key_usecases
from quartet_users.tokens.key_domain import KeyState
from quartet_users.tokens.key_ring import KeyRing

TRUTH = {"true": True, "false": False}


@dataclass
class KeyDocument:
    """A signing key: `next` will sign, `current` signs, `retired` only verifies, until `verifies_until`."""

    id: str
    state: str
    created_at: str
    signs_from: str
    verifies_until: str | None


@dataclass
class KeyListDocument:
    """All keys, newest first."""

    keys: list[KeyDocument]


@dataclass
class RotateQuery:
    """The query parameters of a rotation; `now=true`: the new key signs at once, tokens of all others are refused."""

    now: bool | None = None


blueprint = Blueprint("keys", __name__, url_prefix="/users")


@blueprint.get("/keys")
@requires("platform:admin")
@tag(["Signing keys"])
@document_response(KeyListDocument)
async def list_() -> Response:
    """List the keys of access tokens with id, state and age, without the keys themselves."""
    return _answer(await key_usecases.list_keys(app_container(UsersConfig)))


@blueprint.post("/keys/rotate")
@requires("platform:admin")
@tag(["Signing keys"])
@document_querystring(RotateQuery)
@document_response(KeyListDocument)
@idempotent
async def rotate() -> Response:
    """Rotate the signing key: after a minute, or at once with `now=true` if the old key has leaked."""
    container = app_container(UsersConfig)
    at_once = TRUTH.get(read_parameters("now").get("now", "false").lower())
    if at_once is None:
        raise BadParameterError("now", "must be true or false")
    return _answer(await key_usecases.rotate(container, dependency(KeyRing), caller(), at_once=at_once))


def _answer(found: list[KeyState]) -> Response:
    return json_response(KeyListDocument([_document(one) for one in found]))


def _document(found: KeyState) -> KeyDocument:
    times, until = found.times, found.verifies_until
    return KeyDocument(
        times.id,
        found.state,
        times.created.isoformat(),
        times.signs_from.isoformat(),
        None if until is None else until.isoformat(),
    )
