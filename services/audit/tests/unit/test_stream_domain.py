"""The rules of streams: destinations, filters, pauses between attempts, and what an answer means."""

from datetime import UTC, datetime, timedelta

import pytest

from quartet_audit.entries.filter_domain import Filters
from quartet_audit.streams.stream_domain import (
    FIRST_PAUSE,
    GIVE_UP,
    LONGEST_PAUSE,
    DeliveryError,
    File,
    Splunk,
    Stream,
    Syslog,
    Webhook,
    after_failure,
    check_format,
    check_status,
)
from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import new_id

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def stream(failures: int = 0, failing_since: datetime | None = None) -> Stream:
    """A stream that has failed so often."""
    return Stream(
        tenant="acme",
        id=new_id(),
        version=1,
        name="SIEM",
        destination=Webhook("https://siem.example.com/hook"),
        filters=Filters(),
        format="quartet",
        created_at=NOW,
        position=0,
        batch_end=None,
        replays=0,
        delivered_at=None,
        failures=failures,
        failing_since=failing_since,
        problem=None,
        due_at=NOW,
        paused_at=None,
        pause_reason=None,
        size=1,
    )


def test_pauses_between_attempts_are_doubled_up_to_an_hour() -> None:
    pauses = [after_failure(stream(number), DeliveryError("x"), NOW, 0.0).due_at - NOW for number in range(14)]
    assert pauses[:4] == [FIRST_PAUSE * factor for factor in (1, 2, 4, 8)]
    assert pauses[9] < LONGEST_PAUSE == pauses[10] == pauses[13]
    assert after_failure(stream(10_000), DeliveryError("x"), NOW, 0.0).due_at - NOW == LONGEST_PAUSE


def test_a_pause_is_up_to_a_fifth_shorter_at_random() -> None:
    assert after_failure(stream(), DeliveryError("x"), NOW, 1.0).due_at - NOW == FIRST_PAUSE * 0.8


def test_retry_after_makes_a_pause_longer_but_never_longer_than_an_hour() -> None:
    for wanted, expected in ((2, FIRST_PAUSE), (60, timedelta(seconds=60)), (86_400, LONGEST_PAUSE)):
        error = DeliveryError("x", retry_after=wanted)
        assert after_failure(stream(), error, NOW, 0.0).due_at - NOW == expected


def test_a_stream_is_paused_after_three_days_of_failures_or_at_once_by_a_final_one() -> None:
    error = DeliveryError("refused")
    first = after_failure(stream(), error, NOW, 0.0)
    assert (first.failing_since, first.failures, first.pause_reason) == (NOW, 1, None)
    almost = after_failure(stream(80, NOW), error, NOW + GIVE_UP - timedelta(seconds=1), 0.0)
    assert (almost.failing_since, almost.pause_reason) == (NOW, None)
    last = after_failure(stream(81, NOW), error, NOW + GIVE_UP, 0.0)
    assert last.pause_reason == "nothing could be delivered for 3 days, since 2026-01-31T09:00:00+00:00: refused"
    assert after_failure(stream(), DeliveryError("gone", is_final=True), NOW, 0.0).pause_reason == "gone"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_a_success(status: int) -> None:
    check_status(status, None)


@pytest.mark.parametrize(
    ("status", "retry_after", "is_final", "wait"),
    [
        (302, None, False, 0),
        (400, None, False, 0),
        (404, None, False, 0),
        (410, "7", True, 0),
        (429, "7", False, 7),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", False, 0),
        (503, "-1", False, 0),
    ],
)
def test_other_answers_are_failures(status: int, retry_after: str | None, is_final: bool, wait: int) -> None:
    with pytest.raises(DeliveryError, match=str(status)) as raised:
        check_status(status, retry_after)
    assert (raised.value.is_final, raised.value.retry_after) == (is_final, wait)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://siem.example.com/hook?a=b", ("siem.example.com", 443)),
        ("https://siem.example.com:8443", ("siem.example.com", 8443)),
        ("https://192.0.2.1/", ("192.0.2.1", 443)),
        ("https://[2001:db8::1]:444/", ("2001:db8::1", 444)),
    ],
)
def test_a_url_has_a_host_and_a_port(url: str, target: tuple[str, int]) -> None:
    assert Webhook(url).target == Splunk(url).target == target


@pytest.mark.parametrize(
    "url",
    [
        "http://siem.example.com/",
        "ftp://siem.example.com/",
        "siem.example.com",
        "https://",
        "https:///hook",
        "https://user@siem.example.com/",
        "https://user:password@siem.example.com/",
        "https://siem.example.com:99999/",
        "https://siem.example.com:0x50/",
        "https://siem.example.com/#x",
        "https://siem.example.com\\@127.0.0.1/",
        "https://siem example.com/",
        "https://bücher.example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(BadRequestError, match=r"destination\.url must be an https URL"):
        _ = Webhook(url).target


@pytest.mark.parametrize("host", ["", "a b", "-a", "a/b", "a:1", "user@a"])
def test_a_syslog_host_is_a_name_or_an_address(host: str) -> None:
    assert Syslog("siem.example.com").target == ("siem.example.com", 6514)
    with pytest.raises(BadRequestError, match=r"destination\.host"):
        _ = Syslog(host).target


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a" * 101, "ä"])
def test_a_file_has_a_plain_name(name: str) -> None:
    File("audit-2026.ndjson").target  # noqa: B018  # raises for another one
    with pytest.raises(BadRequestError, match=r"destination\.name"):
        File(name).target  # noqa: B018  # raises


def test_a_format_that_is_not_known_is_refused() -> None:
    check_format("quartet")
    with pytest.raises(BadRequestError, match="format must be one of quartet, ocsf, got 'cef'"):
        check_format("cef")
