"""What every Quartet service shares: config, retry, database, messaging, auth, http and telemetry."""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # as Python documents it: not to be imported
"""httpx's command line, which httpx imports if rich is installed, as for ./quartet: 3.3 MB of each process."""
