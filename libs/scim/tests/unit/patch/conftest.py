"""What the tests of PATCH share: the engine, a resource to work on, and the way of an operation through both."""

import copy
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.normalise import Normaliser
from quartet_scim.patch import PATCH_SCHEMA, Patched, PatchEngine, parse_patch
from quartet_scim.schema import user_resource_type

Apply = Callable[..., Patched]
Refused = Callable[..., tuple[str | None, str]]


@pytest.fixture(scope="session", autouse=True)
def enums_can_be_copied() -> Iterator[None]:
    """scim2-models makes members of enums of words that it does not know; before 3.11.4 Python could not copy those."""
    with pytest.MonkeyPatch.context() as patch:
        if not hasattr(Enum, "__deepcopy__"):
            patch.setattr(Enum, "__deepcopy__", lambda member, _: member, raising=False)
        yield


@pytest.fixture(scope="session")
def engine() -> PatchEngine:
    """The rules of users with the enterprise extension."""
    return PatchEngine(user_resource_type())


@pytest.fixture
def stored(users: Normaliser, enterprise_user: dict[str, Any]) -> dict[str, Any]:
    """A user as it is stored."""
    return users.normalise(enterprise_user).attributes


@pytest.fixture
def apply(engine: PatchEngine, users: Normaliser) -> Apply:
    """Applies operations, given as a client sends them, to a resource, and holds the result against the rules."""

    def through(attributes: dict[str, Any], *operations: dict[str, Any]) -> Patched:
        found = engine.apply(attributes, parse_patch({"schemas": [PATCH_SCHEMA], "Operations": list(operations)}))
        again = users.normalise(found.attributes)
        assert again.attributes == found.attributes
        assert again.secrets == {}
        assert found.changed == (found.attributes != attributes or bool(found.secrets))
        return found

    return through


@pytest.fixture
def refused(apply: Apply) -> Refused:
    """Applies operations that must fail, whole; gives the kind of error and its text."""

    def error(attributes: dict[str, Any], *operations: dict[str, Any]) -> tuple[str | None, str]:
        before = copy.deepcopy(attributes)
        with pytest.raises(ScimError) as caught:
            apply(attributes, *operations)
        assert attributes == before
        assert caught.value.status == 400
        return caught.value.scim_type, caught.value.detail

    return error
