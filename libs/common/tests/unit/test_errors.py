"""Errors: their status, code and headers, and the problem document."""

import json
import re

import pytest

from quartet_common.core.errors import (
    PROBLEM_TYPE,
    TOKEN_ERRORS,
    BadRequestError,
    ForbiddenError,
    MissingScopesError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
    code_of,
    problem,
    title_of,
)
from quartet_serving import wire_format

MALFORMED = "The access token is malformed. Send it as issued: Authorization: Bearer <token>."


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequestError("from: no"), 400, "bad_request"),
        (BadRequestError("from: no", "bad_parameter"), 400, "bad_parameter"),
        (NotFoundError(), 404, "not_found"),
        (UnavailableError("postgresql"), 503, "postgresql_unavailable"),
        (UnauthorizedError("expired"), 401, "token_expired"),
        (ForbiddenError("users:read"), 403, "insufficient_scope"),
    ],
)
def test_an_error_carries_its_status_and_code(error: ServiceError, status: int, code: str) -> None:
    assert (error.status, error.code) == (status, code)
    assert error.detail
    assert str(error) == f"{status} {code}: {error.detail}"


def test_a_server_that_is_away_says_when_to_come_back() -> None:
    error = UnavailableError("users", retry_after=7)
    assert error.headers == {"Retry-After": "7"}
    assert "users" in error.detail


def test_a_missing_token_gets_a_bare_challenge() -> None:
    error = UnauthorizedError("missing")
    assert (error.code, error.headers["WWW-Authenticate"]) == ("token_missing", 'Bearer realm="quartet"')


@pytest.mark.parametrize(
    ("reason", "code", "detail"),
    [
        ("malformed", "token_malformed", MALFORMED),
        ("too_long", "token_malformed", MALFORMED),
        ("expired", "token_expired", "The access token expired. Request a new one."),
        ("revoked", "token_revoked", "The access token was revoked. Request a new one."),
        (
            "tenant_suspended",
            "tenant_suspended",
            "The tenant is suspended. Its tokens are refused until it is resumed.",
        ),
        ("wrong_audience", "token_invalid", "The access token is not valid. Request a new one."),
    ],
)
def test_a_bad_token_is_answered_with_what_to_do(reason: str, code: str, detail: str) -> None:
    error = UnauthorizedError(reason)
    assert (error.code, error.detail) == (code, detail)
    challenge = f'Bearer realm="quartet", error="invalid_token", error_description="{detail}"'
    assert error.headers["WWW-Authenticate"] == challenge


def test_the_client_learns_nothing_of_a_forged_token() -> None:
    guesses = ("bad_signature", "unknown_key", "unknown_token", "wrong_algorithm_or_type", "unknown_extension")
    answers = {f"{UnauthorizedError(reason)} {UnauthorizedError(reason).headers}" for reason in guesses}
    assert len(answers) == 1
    assert [UnauthorizedError(reason).reason for reason in guesses] == list(guesses)


def test_descriptions_have_only_characters_that_a_challenge_may_have() -> None:
    for reason in (*TOKEN_ERRORS, "other"):
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", UnauthorizedError(reason).detail)


def test_scopes_that_are_missing_are_all_named() -> None:
    error = MissingScopesError("The user 7", {"users:read", "audit:read"})
    assert error.detail == (
        "The user 7 holds scopes that the access token lacks: audit:read, users:read. Use a token with them."
    )
    assert (error.status, error.code, error.scope) == (403, "insufficient_scope", "audit:read users:read")


def test_a_lacking_scope_is_named_in_the_challenge() -> None:
    challenge = ForbiddenError("users:write").headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="users:write"' in challenge


def test_where_no_scope_would_do_the_challenge_names_none() -> None:
    assert ForbiddenError("(that of a person)").headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


def test_two_errors_are_never_the_same_and_can_be_kept_in_a_set() -> None:
    one, other = NotFoundError(), NotFoundError()
    assert one != other
    assert len({one, other}) == 2


def test_a_problem_document_has_the_members_of_rfc_9457_and_the_code() -> None:
    assert json.loads(problem(404, "not_found", 'no "x"', "Not Found")) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": 'no "x"',
        "code": "not_found",
    }


@pytest.mark.parametrize(
    ("status", "code", "title"),
    [
        (404, "not_found", "Not Found"),
        (413, "request_entity_too_large", "Content Too Large"),
        (422, "unprocessable_entity", "Unprocessable Content"),
        (552, "error", "Error"),
    ],
)
def test_codes_and_titles_are_the_same_on_every_python(status: int, code: str, title: str) -> None:
    assert (code_of(status), title_of(status)) == (code, title)


@pytest.mark.parametrize("status", wire_format.REFUSALS)
def test_a_request_that_the_server_refuses_gets_the_same_document_as_from_an_application(status: int) -> None:
    headers, body = wire_format.refusal_parts(status)
    assert body == problem(status, code_of(status), json.loads(body)["detail"], title_of(status))
    assert dict(headers)[b"content-type"].decode() == PROBLEM_TYPE
