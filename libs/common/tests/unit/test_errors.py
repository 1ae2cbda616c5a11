"""Errors: their status, code and headers, and the problem document."""

import json

import pytest

from quartet_common.errors import (
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
    code_of,
    problem,
    title_of,
)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequestError("from: no"), 400, "bad_request"),
        (BadRequestError("from: no", "bad_parameter"), 400, "bad_parameter"),
        (NotFoundError(), 404, "not_found"),
        (UnavailableError("postgresql"), 503, "postgresql_unavailable"),
        (UnauthorizedError("expired"), 401, "unauthorized"),
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


def test_a_missing_token_gets_a_bare_challenge_and_a_bad_one_is_told_so() -> None:
    assert UnauthorizedError("missing").headers["WWW-Authenticate"] == 'Bearer realm="quartet"'
    assert 'error="invalid_token"' in UnauthorizedError("expired").headers["WWW-Authenticate"]


def test_why_a_token_is_bad_is_not_told_to_the_client() -> None:
    error = UnauthorizedError("bad_signature")
    assert "bad_signature" not in f"{error} {error.headers}"
    assert error.reason == "bad_signature"


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
