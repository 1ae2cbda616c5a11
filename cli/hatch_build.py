"""Puts libs/audit_verifier into the wheel, so that `pip install ./cli` needs no other package of the workspace."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "quartet_audit_verifier"


class BundledVerifier(BuildHookInterface[Any]):
    """A hook of hatch: in a checkout, where the command is installed in editable form, the verifier is a package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the verifier to a wheel."""
        if version == "editable":
            return
        source = Path(self.root).parent / "libs/audit_verifier/src" / PACKAGE
        if not source.is_dir():
            raise FileNotFoundError(f"{source} is missing. Install the command from a checkout: pip install ./cli")
        build_data["force_include"][str(source)] = PACKAGE
