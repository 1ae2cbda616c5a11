"""Form parameters of the OAuth endpoints, parsed by the rules of RFC 6749."""

import re

from werkzeug.datastructures import MultiDict

from quartet_common.web.bodies import FORM, read_form
from quartet_users.errors import OAuthError

Form = MultiDict[str, str]

REPEATED = ("resource",)
"""Parameters that a form may have more than once (RFC 8707 section 2)."""
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


async def read_parameters() -> Form:
    """The parameters of the current request. An empty one counts as missing (RFC 6749 section 3.2): some libraries send
    an empty `client_secret` if they have none.

    Raises OAuthError `invalid_request` for one given twice (except REPEATED), ServiceError 413 for a large form.
    """
    sent = await read_form()
    for name, values in sent.lists():
        if len(values) > 1 and name not in REPEATED:
            raise OAuthError("invalid_request", f"The parameter {name[:64]} must be given once.")
    return MultiDict([(name, value) for name, value in sent.items(multi=True) if value])


def require_parameter(form: Form, name: str) -> str:
    """A required parameter. Raises OAuthError `invalid_request`."""
    found = form.get(name)
    if found is None:
        raise OAuthError("invalid_request", f"The parameter {name} is missing. Send it in a body of {FORM}.")
    return found


def read_scope(text: str) -> frozenset[str]:
    """The scopes in `text` (RFC 6749 section 3.3). Raises OAuthError `invalid_scope`."""
    if SCOPE.fullmatch(text) is None:
        raise OAuthError("invalid_scope", "scope must be words of printable ASCII, separated by single spaces.")
    return frozenset(text.split(" "))
