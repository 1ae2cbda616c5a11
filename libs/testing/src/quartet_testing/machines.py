"""Machines for tests of the users service: API clients of one tenant, made by its administrator, and what they do."""

import time
from base64 import b64encode
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_testing.client import Document
from quartet_testing.services import RunningService

CLIENTS = "/users/clients"
TOKEN = "/oauth2/token"  # noqa: S105  # the path of an endpoint
GRANT = {"grant_type": "client_credentials"}
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


def assertion(client_id: str, key: ECKey, audience: str, now: float | None = None, **claims: Any) -> dict[str, str]:
    """The parameters by which a client proves who it is with a key (RFC 7523 section 2.2)."""
    issued = int(time.time() if now is None else now)
    said = {"iss": client_id, "sub": client_id, "aud": audience, "exp": issued + 60, "jti": str(uuid4()), **claims}
    signed = jwt.encode({"alg": "ES256"}, said, key)
    return {"client_assertion_type": ASSERTION, "client_assertion": signed}


class Machines:
    """The API clients of one tenant; `headers` is the token of its administrator."""

    def __init__(self, users: RunningService, tenant: str, headers: dict[str, str]) -> None:
        self.users = users
        self.tenant = tenant
        self.headers = headers

    async def ask(self, method: str, path: str = "", **options: Any) -> tuple[int, Document]:
        """Status and answer to the administrator."""
        options = {"headers": self.headers, **options}
        answer = await self.users.client.open(f"{CLIENTS}{path}", method=method, **options)
        return answer.status_code, await answer.get_json(force=True) if await answer.get_data() else {}

    async def make(self, *scopes: str, **body: Any) -> Document:
        """A client, as its creator sees it."""
        wanted = {"name": "payroll", "scopes": list(scopes or ("users:read",)), **body}
        status, made = await self.ask("POST", json=wanted)
        assert status == 201, made
        return made

    async def read(self, made: Document) -> Document:
        """The client with its secrets, as it is now."""
        status, found = await self.ask("GET", f"/{made['client_id']}")
        assert status == 200, found
        return found

    async def token(self, made: Document, secret: str | None = None, **form: Any) -> tuple[int, Document]:
        """Status and answer when a client asks for a token with its secret."""
        return await self.post({**GRANT, **form}, basic(made["client_id"], secret or made["client_secret"]))

    async def post(self, form: Any, headers: Any = None) -> tuple[int, Document]:
        """Status and answer of the token endpoint."""
        answer = await self.users.client.post(TOKEN, form=form, headers=headers)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status_code, await answer.get_json(force=True)

    async def bearer(self, made: Document, **form: Any) -> str:
        """An access token of a client."""
        status, answer = await self.token(made, **form)
        assert status == 200, answer
        return str(answer["access_token"])

    async def use(self, bearer: str, path: str = "/scim/v2/Users") -> int:
        """The status of a request with an access token."""
        answer = await self.users.client.get(path, headers={"Authorization": f"Bearer {bearer}"})
        return int(answer.status_code)

    async def published(self, kind: str) -> list[Document]:
        """The data of the tenant's events of a type, e.g. `users.client.created.v1`."""
        return [event.data for event in await self.users.outbox(self.tenant) if event.type == f"quartet.{kind}"]
