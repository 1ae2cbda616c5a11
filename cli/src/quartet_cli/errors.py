"""Expected errors: shown as one line without a traceback."""

from collections.abc import Mapping


class QuartetError(Exception):
    """An expected error, which its message explains."""


class ProcessFailedError(QuartetError):
    """A process did not become ready; `name` is the process, `log` the last lines of its log."""

    def __init__(self, name: str, reason: str, log: list[str] | None = None) -> None:
        super().__init__(f"{name} failed: {reason}")
        self.name = name
        self.reason = reason
        self.log = log or []
        for line in self.log:  # tracebacks show notes
            self.add_note(line)


class NotRunningError(QuartetError):
    """The command needs a running stack."""

    def __init__(self) -> None:
        super().__init__("The stack is not running. Run: ./quartet up")


class SettingsDifferError(QuartetError):
    """The running stack has other settings than the wanted ones; `differing` maps names to (running, wanted)."""

    def __init__(self, differing: Mapping[str, tuple[str, str]]) -> None:
        lines = (
            f"  {name}: {now or 'not set'}, wanted {wanted or 'not set'}" for name, (now, wanted) in differing.items()
        )
        super().__init__(
            "The running stack has other settings, which are not changed:\n"
            + "\n".join(lines)
            + "\nTo apply the new ones, run: ./quartet down && ./quartet up"
        )
