"""The command `completion`: a script that lets a shell complete commands and options."""

import re
import shlex
from enum import StrEnum
from typing import Annotated, Final

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]  # imported there

from quartet_cli.layout import CHECKOUT, IS_CHECKOUT

VARIABLE: Final = "_QUARTET_COMPLETE"
"""The variable that the scripts set to get completions."""


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that runs the script.")]) -> None:
    """Print a completion script. Bash: source <(quartet completion bash); fish: quartet completion fish | source."""
    script = get_completion_script(prog_name="quartet", complete_var=VARIABLE, shell=shell)  # nosec B604  # the name of a shell, and nothing runs it
    if not IS_CHECKOUT:
        print(script)
        return
    command = shlex.quote(str(CHECKOUT / "quartet"))  # it is not on PATH
    print(re.sub(r"(complete_zsh|\(commandline -cp\)) quartet\b", lambda found: f"{found[1]} {command}", script))


def enable() -> None:
    """Make the command return completions to the scripts."""
    completion_init()
