"""The rules of streams: what a destination may be, which entries it gets, and what follows a failed delivery."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from quartet_audit.entries.filter_domain import BadFilterError, Filters
from quartet_common.core.errors import BadRequestError
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS, shown

MAX_TEXT = 1024
MAX_NAME = 100
SYSLOG_PORT = 6514
"""The port of syslog over TLS (RFC 5425 section 4.1)."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
"""The pause after the first failure; each is twice as long as the one before, up to the longest."""
GIVE_UP = timedelta(days=3)
"""For how long a destination may fail before its stream is paused."""

QUARTET, OCSF = "quartet", "ocsf"
FORMATS = (QUARTET, OCSF)
"""What a destination gets of an entry: its JSON as `/audit/events` shows it, or an event of OCSF."""

FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
HOST = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
IPV6 = r"(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45}"
HOST_OR_ADDRESS = re.compile(rf"{HOST}|{IPV6}")
HTTPS_URL = re.compile(rf"https://(?:(?P<host>{HOST})|\[(?P<address>{IPV6})\])(:(?P<port>[0-9]{{1,5}}))?([/?][!-~]*)?")
NOT_IN_URL = re.compile(r'["#<>\\^`{|}]')

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=NO_CONTROL_CHARACTERS)]


class _Destination(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"):
    """What all destinations have: their type."""

    @property
    def secret(self) -> str | None:
        """What is stored encrypted, as the caller gave it."""
        return None

    def without_secret(self) -> "Destination":
        """The destination as it is stored and shown."""
        return self  # type: ignore[return-value]  # only the classes of the union are made


class Webhook(_Destination, frozen=True, tag="webhook"):
    """An HTTPS address that gets signed batches of entries (Standard Webhooks)."""

    url: Text

    @property
    def target(self) -> tuple[str, int]:
        """Host and port."""
        return _https_target(self.url)


class Splunk(_Destination, frozen=True, tag="splunk"):
    """The address of an HTTP Event Collector, e.g. https://splunk.example.com:8088/services/collector/event."""

    url: Text
    token: Text | None = None
    index: Text | None = None

    @property
    def target(self) -> tuple[str, int]:
        """Host and port."""
        return _https_target(self.url)

    @property
    def secret(self) -> str | None:
        """The token of the collector."""
        return self.token

    def without_secret(self) -> "Splunk":
        """The destination without its token."""
        return structs.replace(self, token=None)


class Syslog(_Destination, frozen=True, tag="syslog"):
    """A syslog receiver over TLS (RFC 5424, RFC 5425)."""

    host: Text
    port: Annotated[int, Meta(ge=1, le=65535)] = SYSLOG_PORT

    @property
    def target(self) -> tuple[str, int]:
        """Host and port."""
        if HOST_OR_ADDRESS.fullmatch(self.host) is None:
            raise BadRequestError(f"destination.host must be a host name or an address, got {shown(self.host)}.")
        return self.host, self.port


class File(_Destination, frozen=True, tag="file"):
    """A file in the folder QUARTET_STREAM_DIR/<tenant>, with an entry a line."""

    name: Text

    @property
    def target(self) -> None:
        """A file has no address."""
        if FILE_NAME.fullmatch(self.name) is None:
            rule = (
                "must be a file name of up to 100 letters, digits, dots, hyphens and underscores, without a dot first"
            )
            raise BadRequestError(f"destination.name {rule}, got {shown(self.name)}.")


Destination = Webhook | Splunk | Syslog | File


def _https_target(url: str) -> tuple[str, int]:
    """Host and port of a URL. Raises BadRequestError (400)."""
    found = HTTPS_URL.fullmatch(url)
    port = 443 if found is None or found["port"] is None else int(found["port"])
    if found is None or NOT_IN_URL.search(url) or not 0 < port < 65536:
        rule = "must be an https URL in ASCII without user name, password and fragment"
        raise BadRequestError(f"destination.url {rule}, got {shown(url)}.")
    return found["host"] or found["address"], port


@dataclass(frozen=True)
class Stream:
    """A stream as it is stored. `position` is the sequence of the next entry that it gets; times are in UTC."""

    tenant: str
    id: UUID
    version: int
    name: str
    destination: Destination
    filters: Filters
    format: str
    created_at: datetime
    position: int
    batch_end: int | None
    replays: int
    delivered_at: datetime | None
    failures: int
    failing_since: datetime | None
    problem: str | None
    due_at: datetime
    paused_at: datetime | None
    pause_reason: str | None
    size: int
    """The size of the tenant's log."""
    former_secret_until: datetime | None = None
    """Until when the secret of a webhook is valid that was replaced."""


@dataclass(frozen=True)
class Failure:
    """What follows a failed delivery: the next attempt at `due_at`, or a pause for `pause_reason`."""

    failures: int
    failing_since: datetime
    due_at: datetime
    pause_reason: str | None


class DeliveryError(Exception):
    """A destination did not take a batch: it is sent again, at the earliest after `retry_after` seconds; `is_final`
    pauses the stream at once.
    """

    def __init__(self, problem: str, *, is_final: bool = False, retry_after: int = 0) -> None:
        super().__init__(problem)
        self.is_final = is_final
        self.retry_after = retry_after


def check_format(name: str) -> None:
    """Raises BadRequestError (400) unless there is a format of this name."""
    if name not in FORMATS:
        raise BadRequestError(f"format must be one of {', '.join(FORMATS)}, got {shown(name)}.")


def check_filters(filters: Filters) -> None:
    """Raises BadFilterError (400) for one that is invalid."""
    try:
        _ = filters.search
    except BadFilterError as error:
        raise BadFilterError(f"filters.{error.name}", error.rule) from None


def check_status(status: int, retry_after: str | None) -> None:
    """Raises DeliveryError unless an HTTP status is a success: 2xx. 410 pauses, everything else is tried again."""
    if 200 <= status < 300:
        return
    if status == 410:
        raise DeliveryError("the destination answers 410: it wants no more messages", is_final=True)
    if 300 <= status < 400:
        raise DeliveryError(f"the destination answers {status}; redirects are not followed: change the URL")
    wait = int(retry_after) if retry_after is not None and re.fullmatch(r"[0-9]{1,6}", retry_after) else 0
    raise DeliveryError(f"the destination answers {status}", retry_after=wait)


def after_failure(stream: Stream, error: DeliveryError, now: datetime, jitter: float) -> Failure:
    """What follows the failed delivery of a batch; `jitter`, 0 to 1, spreads attempts that would meet."""
    since = stream.failing_since or now
    # 2^20 pauses are far beyond the longest; the exponent is limited for timedelta
    pause = min(FIRST_PAUSE * 2 ** min(stream.failures, 20), LONGEST_PAUSE) * (1 - jitter / 5)
    pause = max(pause, min(timedelta(seconds=error.retry_after), LONGEST_PAUSE))
    reason = None
    if error.is_final:
        reason = str(error)
    elif now - since >= GIVE_UP:
        reason = f"nothing could be delivered for {GIVE_UP.days} days, since {since.isoformat()}: {error}"
    return Failure(stream.failures + 1, since, now + pause, reason)
