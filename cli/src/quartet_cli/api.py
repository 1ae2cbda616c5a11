"""The API of one server for one caller: what every command sends its requests with."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quartet_cli import api_client, logins, profiles, tokens
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home, home_path
from quartet_cli.profiles import Profile, ProfileName

if TYPE_CHECKING:
    import httpx

PAGE = 1000
Tenant = Annotated[str | None, typer.Option(metavar="TENANT", help="The tenant; default: that of the profile.")]
Url = Annotated[str | None, typer.Option(metavar="URL", help=tokens.URL_HELP)]


@dataclass
class Api:
    """A server, and a caller in one tenant; `name` is that of the profile, None without a stored one."""

    profile: Profile
    name: str | None = None
    scope: str | None = None
    _token: str = ""

    @property
    def url(self) -> str:
        """The URL of the server."""
        return self.profile.url

    def token(self, *, anew: bool = False) -> str:
        """A valid access token. Raises QuartetError."""
        if self.name is not None and not self.profile.client_id:
            self.profile = logins.current(self.name, after=self._token if anew else None)
            self._token = self.profile.access_token
        elif anew or not self._token:
            own = self.profile
            self._token = tokens.fetch(
                own.url, own.tenant, self.scope, own.client_secret, client=own.client_id, ca=own.ca
            )
        return self._token

    def send(self, method: str, path: str, **options: Any) -> tuple[int, Document]:
        """Status and JSON of a response; `options` are httpx's. A refused token is replaced once."""
        status, answer = self._send(method, path, self.token(), options)
        if status == 401:
            status, answer = self._send(method, path, self.token(anew=True), options)
        return status, answer

    def _send(self, method: str, path: str, token: str, options: dict[str, Any]) -> tuple[int, Document]:
        headers = {"Authorization": f"Bearer {token}", **options.get("headers", {})}
        return api_client.send(method, self.url + path, ca=self.profile.ca, **{**options, "headers": headers})

    def ask(self, method: str, path: str, **options: Any) -> Document:
        """The body of a response of success; `options` are httpx's. Raises QuartetError for any other."""
        status, answer = self.send(method, path, **options)
        if not 200 <= status < 300:
            raise api_client.error_of(status, answer)
        return answer

    def list_all(self, path: str, name: str, limit: int = 0, **filters: str | None) -> list[Document]:
        """The items of a list in pages, `limit` at most unless it is 0; `name` is that of the list in a page."""
        found: list[Document] = []
        cursor: str | None = ""
        given = {key: value for key, value in filters.items() if value}
        while cursor is not None and (not limit or len(found) < limit):
            page = self.ask("GET", path, params={**given, "count": min(limit or PAGE, PAGE), "cursor": cursor})
            found += page[name]
            cursor = page["next"]
        return found[:limit] if limit else found

    @contextmanager
    def stream(self, path: str, params: dict[str, str], headers: dict[str, str]) -> Iterator["httpx.Response"]:
        """A response that is read while it arrives. A refused token is replaced once. Raises errors of httpx."""
        import httpx  # see api_client

        timeout = httpx.Timeout(10, read=60)  # a comment comes each 15 s
        with httpx.Client(
            base_url=self.url, trust_env=False, verify=api_client.trust(self.profile.ca), timeout=timeout
        ) as client:
            for anew in (False, True):
                own = {**headers, "Authorization": f"Bearer {self.token(anew=anew)}"}
                with client.stream("GET", path, params=params, headers=own) as answer:
                    if answer.status_code != 401 or anew:
                        yield answer
                        return


def connect(url: str | None = None, profile: str | None = None, tenant: str | None = None) -> Api:
    """The API of the server at `url`, of a profile, or of the checkout's stack. Raises QuartetError.

    Without `url` and `profile`: the profile of QUARTET_PROFILE; without one the stack of the checkout, or elsewhere the
    profile `default`.
    """
    if url and profile:
        raise typer.BadParameter("give --url or --profile, not both")
    if url:
        return _own_client(url, tenant)
    name = profile or profiles.by_default()
    if name is None:
        from quartet_cli.stack import Stack  # which takes a quarter of a second

        return _own_client(Stack(home_path()).url, tenant)
    found = profiles.load(name)
    if tenant is not None and not found.client_id and tenant != found.tenant:
        raise QuartetError(
            f"This needs a user or client of tenant {tenant}, and profile {name} is of {found.who} of tenant "
            f"{found.tenant}. Use another profile."
        )
    found.tenant = tenant or found.tenant
    return Api(found, name)


def _own_client(url: str, tenant: str | None) -> Api:
    secret = tokens.own_secret(Home(home_path()))
    return Api(Profile(url.rstrip("/"), tenant or "default", client_id=tokens.CLIENT, client_secret=secret))


def command(
    app: typer.Typer, name: str | None = None, *, platform: bool = False, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function, whose first parameter is an Api, to `app` as a command with the options --url, --profile and
    --tenant; a command of the platform has no --tenant.
    """

    def add(function: Callable[..., None]) -> Callable[..., None]:
        def run(*, url: str | None, profile: str | None, **given: Any) -> None:
            tenant = tokens.PLATFORM if platform else given.pop("tenant")
            function(connect(url, profile, tenant), **given)

        own = list(inspect.signature(function).parameters.values())[1:]
        options = {"url": Url, "profile": ProfileName, **({} if platform else {"tenant": Tenant})}
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=of)
            for key, of in options.items()
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__doc__ = function.__doc__
        app.command(name or function.__name__.rstrip("_").replace("_", "-"), **settings)(run)
        return function

    return add
