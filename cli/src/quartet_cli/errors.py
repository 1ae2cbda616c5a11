"""What can go wrong in a way that a person can act on: each is shown as one clear line, without a traceback."""

from collections.abc import Mapping


class QuartetError(Exception):
    """A failure that its message explains in full."""


class ProcessFailedError(QuartetError):
    """A part of the stack did not become healthy; `name` is the process, `log` the last lines of its log."""

    def __init__(self, name: str, reason: str, log: list[str] | None = None) -> None:
        super().__init__(f"{name} failed: {reason}")
        self.name = name
        self.reason = reason
        self.log = log or []


class NotRunningError(QuartetError):
    """The stack is asked for something that only a running one can do."""

    def __init__(self) -> None:
        super().__init__("The stack is not running. Run: ./quartet up")


class SettingsDifferError(QuartetError):
    """A running stack has other settings than those that are asked for; `differing` maps names to (running, wanted)."""

    def __init__(self, differing: Mapping[str, tuple[str, str]]) -> None:
        lines = (
            f"  {name}: {now or 'not set'}, wanted {wanted or 'not set'}" for name, (now, wanted) in differing.items()
        )
        super().__init__(
            "The running stack has other settings, which are not changed:\n"
            + "\n".join(lines)
            + "\nTo apply the new ones, run: ./quartet down && ./quartet up"
        )
