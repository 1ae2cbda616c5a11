"""Errors: the message of RFC 7644 3.12."""

import copy
import pickle
from collections.abc import Callable

import pytest
from scim2_models import Error

from quartet_scim.errors import (
    ScimError,
    invalid_filter,
    invalid_syntax,
    invalid_value,
    mutability,
    not_found,
    too_many,
    uniqueness,
)


@pytest.mark.parametrize(
    ("make", "status", "scim_type"),
    [
        (invalid_syntax, 400, "invalidSyntax"),
        (invalid_value, 400, "invalidValue"),
        (invalid_filter, 400, "invalidFilter"),
        (mutability, 400, "mutability"),
        (too_many, 400, "tooMany"),
        (uniqueness, 409, "uniqueness"),
        (not_found, 404, None),
    ],
)
def test_every_kind_of_error_has_its_status_and_type(
    make: Callable[[str], ScimError], status: int, scim_type: str | None
) -> None:
    error = make("What is wrong.")
    assert (error.status, error.scim_type, error.detail) == (status, scim_type, "What is wrong.")


def test_the_document_is_a_scim_error_whose_status_is_a_string() -> None:
    assert uniqueness("userName is taken.").document() == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "409",
        "scimType": "uniqueness",
        "detail": "userName is taken.",
    }


def test_an_error_without_a_type_has_no_scim_type_in_its_document() -> None:
    assert "scimType" not in not_found().document()


def test_the_oracle_reads_the_document() -> None:
    read = Error.model_validate(invalid_value("userName is required.").document())
    assert (read.status, read.scim_type, read.detail) == (400, "invalidValue", "userName is required.")


def test_an_error_reads_as_its_sentence_and_survives_copying_and_pickling() -> None:
    error = ScimError(412, "The resource has changed.")
    copies = [copy.copy(error), pickle.loads(pickle.dumps(error))]  # noqa: S301 - our own bytes
    assert str(error) == "The resource has changed."
    assert [(one.status, one.detail) for one in copies] == [(412, "The resource has changed.")] * 2
