"""What can go wrong in a way that a person can act on: each is shown as one clear line, without a traceback."""


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
        super().__init__("the stack is not running; start it with: ./quartet up")
