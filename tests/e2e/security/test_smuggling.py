"""Requests that two servers could read in two ways: the proxy and each api refuse them, or read them alike."""

import asyncio
import json

import pytest

from quartet_cli.stack import Stack
from quartet_testing.attacks import RawAnswer, exchange, request, says_nothing
from quartet_testing.client import USERS, user_document
from quartet_testing.forgery import Forger

pytestmark = pytest.mark.local_stack

HIDDEN = b"GET /users/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
"""A second request, in what is no second request."""
TYPE = "Content-Type: application/scim+json"
CHUNKED = "Transfer-Encoding: chunked"
REFUSED = (400, 411, 413, 431, 501, 505)


def port_of(stack: Stack, door: str) -> int:
    """The port of `proxy` or of an api."""
    return stack._ports()[door]


@pytest.fixture(params=["proxy", "users-api", "groups-api"])
def port(request: pytest.FixtureRequest, stack: Stack) -> int:
    """Where requests are sent: through the proxy, and past it to an api, as somebody inside could."""
    return port_of(stack, request.param)


@pytest.fixture
def bearer(forger: Forger) -> str:
    """A good token, as a header."""
    return f"Authorization: Bearer {forger.token}"


def post(*headers: str, body: bytes = b"") -> bytes:
    """A POST to an address that needs a token of which none is given."""
    return request("POST", "/scim/v2/Users/.search", TYPE, *headers, body=body)


def chunk(data: bytes, more: bytes = b"") -> bytes:
    """A chunked body of one chunk."""
    return b"%x%b\r\n%b\r\n0\r\n\r\n" % (len(data), more, data)


AMBIGUOUS = {
    "CL and TE": post("Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + HIDDEN),
    "TE and CL": post(CHUNKED, "Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN),
    "two lengths": post("Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
    "one length twice": post("Content-Length: 2", "Content-Length: 2", body=b"{}"),
    "a list of lengths": post("Content-Length: 2, 2", body=b"{}"),
    "a signed length": post("Content-Length: +2", body=b"{}"),
    "a negative length": post("Content-Length: -1", body=HIDDEN),
    "a hexadecimal length": post("Content-Length: 0x2", body=b"{}"),
    "a length beyond all numbers": post("Content-Length: 99999999999999999999", body=HIDDEN),
    "TE xchunked": post("Transfer-Encoding: xchunked", body=chunk(HIDDEN)),
    "TE identity": post("Transfer-Encoding: identity", body=HIDDEN),
    "TE chunked, identity": post("Transfer-Encoding: chunked, identity", body=chunk(HIDDEN)),
    "TE identity, chunked": post("Transfer-Encoding: identity, chunked", body=chunk(HIDDEN)),
    "TE gzip, chunked": post("Transfer-Encoding: gzip, chunked", body=chunk(HIDDEN)),
    "TE quoted": post('Transfer-Encoding: "chunked"', body=chunk(HIDDEN)),
    "TE with a parameter": post("Transfer-Encoding: chunked;x", body=chunk(HIDDEN)),
    "TE behind a vertical tab": post("Transfer-Encoding:\x0bchunked", body=chunk(HIDDEN)),
    "TE twice": post(CHUNKED, "Transfer-Encoding: x", body=chunk(HIDDEN)),
    "TE with a blank before the colon": post("Transfer-Encoding : chunked", body=chunk(HIDDEN)),
    "TE on a folded line": post("X: y", "\tTransfer-Encoding: chunked", "Content-Length: 2", body=b"{}"),
    "TE in HTTP/1.0": post(CHUNKED, body=chunk(HIDDEN)).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "an extension with the end of a line": post(CHUNKED, body=chunk(b"{}", b";a\nb")),
    "a negative chunk": post(CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk with 0x": post(CHUNKED, body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond all numbers": post(CHUNKED, body=b"ffffffffffffffff1\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": post(CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n"),
    "two hosts": post("Host: evil.example.com"),
    "no host": post().replace(b"Host: directory.example.com\r\n", b""),
    "a folded header": post("X: y", " z"),
    "a NUL in a header": post("X: y\0z"),
    "a CR in a header": post("X: y\rZ: z"),
    "a header without a colon": post("Xyz"),
    "HTTP/2 by name": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a blank before the method": b" " + post(),
    "tabs in the first line": b"GET\t/users/health/live\tHTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_has_one_answer_which_refuses_it(port: int, name: str) -> None:
    [answer] = await exchange(port, AMBIGUOUS[name])
    if name in ("a header without a colon",) and answer.status == 401:
        return  # nginx leaves such a line out, and so hands on nothing that could be read otherwise
    refused(answer)


def refused(answer: RawAnswer) -> None:
    """The answer is an error document that says nothing, and nothing more is read on its connection."""
    assert answer.status in REFUSED, answer
    assert answer.headers["content-type"] in ("application/problem+json", "application/scim+json")
    assert str(json.loads(answer.body)["status"]) == str(answer.status)
    assert answer.headers["connection"] == "close"
    says_nothing(answer.body.decode())


async def test_bare_line_feeds_end_lines_for_the_proxy_only_which_hands_on_none(stack: Stack, bearer: str) -> None:
    sent = f"GET {USERS} HTTP/1.1\nHost: x\nConnection: close\n{bearer}\n\n".encode()
    [by_proxy] = await exchange(port_of(stack, "proxy"), sent)
    assert by_proxy.status == 200
    [by_api] = await exchange(port_of(stack, "users-api"), sent)
    refused(by_api)


async def test_requests_of_two_kinds_that_are_well_framed_are_taken(port: int, bearer: str) -> None:
    search = b'{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":0}'
    lists = ("/scim/v2/Users/.search", "/scim/v2/Groups/.search")
    for framed in (
        (f"Content-Length: {len(search)}", search),
        (CHUNKED, chunk(search)),
        (CHUNKED, chunk(search, b";name=value")),
        (CHUNKED, chunk(search)[:-2] + b"X-Trailer: 1\r\n\r\n"),
    ):
        header, body = framed
        found = [(await exchange(port, request("POST", path, bearer, TYPE, header, body=body)))[0] for path in lists]
        assert 200 in {one.status for one in found}, found  # an api has one of the two


async def test_what_follows_a_body_is_the_next_request_and_its_own_answer(port: int, bearer: str) -> None:
    body = json.dumps(user_document()).encode()
    first = request("POST", "/scim/v2/Users/.search", TYPE, f"Content-Length: {len(body)}", body=body)
    kept = first.replace(b"Connection: close\r\n", b"")
    answers = await exchange(port, kept + request("GET", "/scim/v2/ServiceProviderConfig", bearer))
    assert len(answers) == 2
    assert answers[0].status in (401, 404)
    assert answers[1].status in (200, 404)


async def test_a_token_in_a_trailer_is_no_token(port: int, bearer: str) -> None:
    for path in ("/scim/v2/Users/.search", "/scim/v2/Groups/.search"):
        body = chunk(b"{}")[:-2] + f"{bearer}\r\n\r\n".encode()
        [answer] = await exchange(port, request("POST", path, TYPE, CHUNKED, body=body))
        assert answer.status in (401, 404)


async def test_no_request_gets_the_answer_of_another_however_many_share_connections(stack: Stack, bearer: str) -> None:
    attacks = [exchange(port_of(stack, "proxy"), sent) for sent in AMBIGUOUS.values()]
    mine = [
        exchange(port_of(stack, "proxy"), request("GET", f"{USERS}?count=0", bearer, f"X-Request-Id: mine-{number}"))
        for number in range(20)
    ]
    answers = await asyncio.gather(*attacks, *mine)
    for number, [answer] in enumerate(answers[len(attacks) :]):
        assert (answer.status, answer.headers["x-request-id"]) == (200, f"mine-{number}")
