"""The clock: for services whose time a test moves on."""

from datetime import datetime, timedelta

from quartet_common.core.clock import utc_now


class Clock:
    """A clock that can be put forward: it shows the time now and what it is `ahead` of it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time that it shows, in UTC."""
        return utc_now() + self.ahead
