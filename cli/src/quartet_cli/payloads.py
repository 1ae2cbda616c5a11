"""The demo's payloads: SCIM resources in files, users before groups, members by userName until their ids are known."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quartet_cli.errors import QuartetError
from quartet_cli.layout import CHECKOUT

EXAMPLES: Final = CHECKOUT / "examples"
KINDS: Final = {
    "urn:ietf:params:scim:schemas:core:2.0:User": "User",
    "urn:ietf:params:scim:schemas:core:2.0:Group": "Group",
}
PLACEHOLDER: Final = re.compile(r"\{userName:([^{}]+)\}")


@dataclass(frozen=True)
class Payload:
    """One file: `kind` is User or Group, `body` the resource to send, with placeholders."""

    file: Path
    kind: str
    body: dict[str, Any]

    @property
    def refers(self) -> bool:
        """Whether it has placeholders for other resources."""
        return PLACEHOLDER.search(json.dumps(self.body)) is not None

    @property
    def path(self) -> str:
        """The path of its POST (RFC 7644 section 3.3)."""
        return f"/scim/v2/{self.kind}s"


def load(files: Sequence[Path]) -> list[Payload]:
    """The payloads of `files`, or of examples/, in an order in which references are known."""
    paths = list(files) or sorted(EXAMPLES.glob("*.json"))
    if not paths:
        raise QuartetError(f"No payloads in {EXAMPLES}.")
    return sorted((_read(path) for path in paths), key=lambda payload: (payload.kind != "User", payload.refers))


def _read(path: Path) -> Payload:
    try:
        body = json.loads(path.read_text())
    except OSError as error:
        raise QuartetError(f"Cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise QuartetError(f"{path} is not JSON: {error}") from error
    schemas = body.get("schemas", []) if isinstance(body, dict) else []
    kinds = [KINDS[schema] for schema in schemas if schema in KINDS]
    if len(kinds) != 1:
        raise QuartetError(f"{path} must be a SCIM User or Group, got schemas {schemas}")
    return Payload(path, kinds[0], body)


def filled(value: Any, resolve: Callable[[str], str]) -> Any:
    """The JSON value with each `{userName:...}` replaced by `resolve` of that user name."""
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: resolve(found[1]), value)
    if isinstance(value, list):
        return [filled(each, resolve) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, resolve) for name, each in value.items()}
    return value
