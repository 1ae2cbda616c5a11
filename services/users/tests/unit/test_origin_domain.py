"""The rules for origins: the form in which browsers send them, and what no tenant can allow."""

from datetime import UTC, datetime

import pytest

from quartet_common.core.errors import ServiceError
from quartet_common.core.identifiers import new_id
from quartet_users.origins.origin_domain import MAX_ORIGINS, BadOriginError, Origin, normalise, require_new


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://localhost:05173", "http://localhost:5173"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://bücher。example", "https://xn--bcher-kva.example"),
        ("https://my_app.example.com", "https://my_app.example.com"),
        ("https://*.Example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("https://*.bücher.example", "https://*.xn--bcher-kva.example"),
        ("https://*.acme.github.io", "https://*.acme.github.io"),
        ("https://*.corp.internal", "https://*.corp.internal"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(sent: str, kept: str) -> None:
    assert normalise(sent) == kept
    assert normalise(kept) == kept


@pytest.mark.parametrize(
    "sent",
    [
        "*",
        "null",
        "",
        "app.example.com",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://app.example.com:",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:443:443",
        "https://app.example.com, https://evil.example.com",
        "https://app.example.com https://evil.example.com",
        "https://app.example.com\\@evil.example.com",
        "https://.example.com",
        "https://app..example.com",
        "https://app.example.com.",
        "https://-app.example.com",
        "https://app%2eexample.com",
        f"https://{'a' * 64}.example.com",
        f"https://{'a.' * 130}com",
        "https://\u200d.example.com",
        "ftp://app.example.com",
        "file://",
        "chrome-extension://abc",
        "http\u017f://app.example.com",
        "https://1.2.3",
        "https://256.1.1.1",
        "https://0x7f.1",
        "https://app.0x7f",
        "https://[::1",
        "https://[::g]",
        "https://[fe80::1%eth0]",
        "https://[::ffff:1.2.3.4]",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused_with_the_value(sent: str) -> None:
    with pytest.raises(BadOriginError) as refused:
        normalise(sent)
    assert (refused.value.status, refused.value.code) == (400, "bad_origin")
    assert refused.value.detail.startswith("origin ")
    assert f"; got {ascii(sent)[:20]}" in refused.value.detail


@pytest.mark.parametrize(
    "sent",
    [
        "https://*",
        "https://*.",
        "https://*.com",
        "https://*.co.uk",
        "https://*.kawasaki.jp",
        "https://*.github.io",
        "https://*.vercel.app",
        "https://*.localhost",
        "https://*.internal",
        "https://*.рф",
        "http://*.example.com",
        "https://*example.com",
        "https://a*.example.com",
        "https://*.*.example.com",
        "https://app.*.example.com",
        "https://*.1.2.3.4",
        "https://*.2.3.4",
        "https://*.[::1]",
    ],
)
def test_a_wildcard_is_refused_where_anyone_can_have_a_name_and_where_it_is_no_whole_first_label(sent: str) -> None:
    with pytest.raises(BadOriginError):
        normalise(sent)


def test_the_error_for_a_public_suffix_names_it() -> None:
    with pytest.raises(BadOriginError, match=r"has \* below co\.uk, .* Name the domain; got 'https://\*\.CO\.uk'\."):
        normalise("https://*.CO.uk")


def known(number: int) -> list[Origin]:
    return [Origin(new_id(), f"https://app{one}.example.com", datetime.now(UTC), "u") for one in range(number)]


def test_an_origin_is_added_once_and_up_to_the_maximum() -> None:
    require_new("https://app.example.com", known(MAX_ORIGINS - 1))
    for origin, others, code in (
        ("https://app1.example.com", known(2), "origin_exists"),
        ("https://app.example.com", known(MAX_ORIGINS), "too_many_origins"),
    ):
        with pytest.raises(ServiceError) as refused:
            require_new(origin, others)
        assert (refused.value.status, refused.value.code) == (409, code)
