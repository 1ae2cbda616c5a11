"""People for tests of the users service: made over SCIM with a password, logged in as they do it themselves."""

from typing import Any
from uuid import uuid4

from quart.typing import TestClientProtocol

from quartet_testing.client import USER, Document
from quartet_testing.services import RunningService

PASSWORD = "correct horse battery staple"  # noqa: S105  # of users that tests make


class Session:
    """Somebody who has logged in."""

    def __init__(self, client: TestClientProtocol, tokens: Document) -> None:
        self._client = client
        self.tokens = tokens

    @property
    def headers(self) -> dict[str, str]:
        """The header with the access token."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    @property
    def id(self) -> str:
        """The session's."""
        return str(self.tokens["session_id"])

    async def is_refused(self) -> bool:
        """Whether the access token is not taken any more."""
        return bool((await self._client.get("/scim/v2/Me", headers=self.headers)).status_code == 401)


class People:
    """The people of one tenant, made by its administrator, whose token is in `headers`."""

    def __init__(self, users: RunningService, tenant: str, headers: dict[str, str]) -> None:
        self.users = users
        self.tenant = tenant
        self.headers = headers

    async def person(self, password: str | None = PASSWORD, **attributes: Any) -> Document:
        """A user with a password, unless that is None."""
        name = f"bjensen-{uuid4().hex[:8]}@example.com"
        secret = {} if password is None else {"password": password}
        body = {"schemas": [USER], "userName": name, **secret, **attributes}
        answer = await self.users.client.post("/scim/v2/Users", headers=self.headers, json=body)
        assert answer.status_code == 201, await answer.get_data()
        made: Document = await answer.get_json(force=True)
        return made

    async def try_login(self, user_name: str, password: str = PASSWORD, **others: Any) -> tuple[int, Document]:
        """Status and answer of a login."""
        body = {"tenant": self.tenant, "user_name": user_name, "password": password, **others}
        answer = await self.users.client.post("/users/login", json=body)
        return answer.status_code, await answer.get_json(force=True)

    async def log_in(self, person: Document, password: str = PASSWORD, **others: Any) -> Session:
        """The session of a person."""
        status, answer = await self.try_login(person["userName"], password, **others)
        assert status == 200, answer
        return Session(self.users.client, answer)

    async def refresh(self, token: str, **form: str) -> tuple[int, Document]:
        """Status and answer of a refresh."""
        wanted = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": token, **form}
        answer = await self.users.client.post("/oauth2/token", form=wanted)
        return answer.status_code, await answer.get_json(force=True)

    async def published(self, kind: str) -> list[Document]:
        """The data of the tenant's events of a type, e.g. `users.session.ended.v1`."""
        return [event.data for event in await self.users.outbox(self.tenant) if event.type == f"quartet.{kind}"]
