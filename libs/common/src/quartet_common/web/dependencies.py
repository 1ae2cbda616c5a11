"""The dependencies of handlers: an app provides one object per class, which its handlers get by the class.

Blueprints are module-level constants and may be registered on several apps, so they hold no objects.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from quart import Quart, current_app

from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer

T = TypeVar("T")
C = TypeVar("C", bound=ServiceConfig)
Kind = Callable[..., T]
"""A class or a protocol; mypy refuses a protocol as `type[T]`."""


def provide(app: Quart, kind: Kind[T], value: T) -> None:
    """Provide `value` to the handlers of `app` by `kind`. Raises ValueError if the app already has one."""
    known: dict[Any, Any] = app.extensions
    if known.setdefault(kind, value) is not value:
        raise ValueError(f"The app already provides {kind}. Provide one object for a class.")


def dependency(kind: Kind[T]) -> T:
    """The object of the running app for `kind`. Raises KeyError if there is none."""
    known: dict[Any, Any] = current_app._get_current_object().extensions  # type: ignore[attr-defined]  # of the proxy
    return cast(T, known[kind])


def app_container(config_class: type[C]) -> AppContainer[C]:  # noqa: ARG001  # it is the type of the result's config
    """The container of the running app."""
    return dependency(AppContainer)
