"""HTTP Basic authentication (RFC 7617) of API clients."""

from urllib.parse import quote_plus

import httpx


def basic(client_id: str, client_secret: str) -> httpx.BasicAuth:
    """The credentials of a client at the OAuth endpoints: both parts form-encoded, then Basic (RFC 6749 section
    2.3.1).
    """
    return httpx.BasicAuth(quote_plus(client_id), quote_plus(client_secret))
