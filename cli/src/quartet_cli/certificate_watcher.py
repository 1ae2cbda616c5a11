"""Has the proxy read its certificate again when the files have changed: a process of the stack.

supervisord runs it as `python -m quartet_cli.certificate_watcher HOME CERTFILE KEYFILE`. nginx serves open requests to
their end with the old certificate, and new connections with the new one.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from quartet_cli import certificates
from quartet_cli.certificates import Pair, Stamps
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.supervisor import Supervisor

INTERVAL: Final = 10.0
"""Seconds between two checks, as in the services."""
WARN_BEFORE: Final = timedelta(days=14)


def reload_if_changed(supervisor: Supervisor, pair: Pair, before: Stamps) -> Stamps:
    """Have nginx read a changed pair again; a pair that it cannot use is logged, and nginx keeps the old one.

    Returns the stamps to compare with at the next check.
    """
    now = certificates.stamps(pair)
    if now == before:
        return before
    reason = certificates.problem(pair)
    if reason is not None:
        log(f"a renewed certificate cannot be used, the proxy keeps the old one: {reason}")
        return now
    try:
        supervisor.signal("proxy", "HUP")
    except QuartetError as error:
        log(f"{error} It reads the new certificate when it starts.")
        return now
    log(f"the certificate was read again; it is valid until {certificates.expiry(pair[0]):%Y-%m-%d %H:%M} UTC")
    return now


def expiry_warning(pair: Pair, now: datetime) -> str | None:
    """The warning about a certificate that expires soon and is not renewed; None if there is time."""
    reason = certificates.problem(pair, now)
    if reason is not None:
        return reason
    end = certificates.expiry(pair[0])
    return f"the certificate expires at {end:%Y-%m-%d %H:%M} UTC; renew it" if end - now < WARN_BEFORE else None


def watch(home: Home, pair: Pair) -> None:
    """Check the files each INTERVAL, and the end of validity each day, until this process is stopped."""
    supervisor = Supervisor(home)
    known: Stamps = ()  # so the first check has nginx read them: they may have changed while this process started
    warned = datetime.min.replace(tzinfo=UTC)
    while True:
        now = datetime.now(UTC)
        if now - warned > timedelta(days=1):
            warned = now
            if (warning := expiry_warning(pair, now)) is not None:
                log(warning)
        time.sleep(INTERVAL)
        known = reload_if_changed(supervisor, pair, known)


def log(text: str) -> None:
    """Write a line with the time to the log of this process."""
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", flush=True)


if __name__ == "__main__":
    watch(Home(Path(sys.argv[1])), (Path(sys.argv[2]), Path(sys.argv[3])))
