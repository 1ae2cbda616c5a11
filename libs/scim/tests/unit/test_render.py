"""Rendering: the stored text and what is spliced into it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import Context, EnterpriseUser, Group, ListResponse, User

from quartet_scim.json import dump
from quartet_scim.normalise import Normaliser
from quartet_scim.render import etag, list_response, render, timestamp

MOMENT = datetime(2026, 1, 31, 9, 30, 15, 123_999, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text().filter(lambda key: key not in {"id", "meta", "members"}), JSON, max_size=5)


def rendered(stored: str, extra: str = "", **changed: Any) -> bytes:
    known: dict[str, Any] = {
        "id": "2819c223",
        "resource_type": "User",
        "created": MOMENT,
        "modified": MOMENT + timedelta(days=1),
        "version": 7,
        "location": "https://example.com/scim/v2/Users/2819c223",
    }
    return render(stored, extra=extra, **(known | changed))


@given(DOCUMENTS, st.text(), st.sampled_from(["", '"members":[]', '"members":[{"value":"a"}],"x":1']), st.booleans())
def test_the_output_is_the_stored_document_with_id_meta_and_extra(
    document: dict[str, Any], id_: str, extra: str, spaced: bool
) -> None:
    # PostgreSQL writes jsonb with spaces behind commas and colons, the service's own dump without.
    stored = json.dumps(document, ensure_ascii=False) if spaced else json.dumps(document, separators=(",", ":"))
    read = json.loads(rendered(stored, extra, id=id_))
    assert read.pop("meta") == {
        "resourceType": "User",
        "created": "2026-01-31T09:30:15.123Z",
        "lastModified": "2026-02-01T09:30:15.123Z",
        "location": "https://example.com/scim/v2/Users/2819c223",
        "version": 'W/"7"',
    }
    assert read == {**document, "id": id_, **json.loads("{" + extra + "}")}


@pytest.mark.parametrize("stored", ["{}", " { } "])
@pytest.mark.parametrize("extra", ["", '"groups":[]'])
def test_an_empty_stored_document_leaves_no_stray_comma(stored: str, extra: str) -> None:
    assert json.loads(rendered(stored, extra))["id"] == "2819c223"


def test_a_quote_in_a_location_cannot_break_out_of_its_string() -> None:
    assert json.loads(rendered("{}", location='https://example.com/"},"x":"'))["meta"]["location"].endswith('"},"x":"')


def test_times_are_written_in_utc_with_milliseconds() -> None:
    east = datetime(2026, 1, 31, 11, 30, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(east) == "2026-01-31T09:30:00.000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 1, 31))  # noqa: DTZ001 - the point of the test


def test_an_entity_tag_is_weak() -> None:
    assert etag(12) == 'W/"12"'


@given(st.lists(DOCUMENTS, max_size=4), st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_list_holds_the_resources_in_order(resources: list[dict[str, Any]], total: int, start: int) -> None:
    written = (json.dumps(resource).encode() for resource in resources)
    assert json.loads(list_response(written, total=total, start_index=start, items_per_page=len(resources))) == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }


def test_a_page_by_cursor_has_no_index_and_leads_on() -> None:
    listed = json.loads(list_response([], total=None, items_per_page=0, next_cursor="a-b_c"))
    assert listed == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "itemsPerPage": 0,
        "nextCursor": "a-b_c",
        "Resources": [],
    }


def test_the_oracle_accepts_a_rendered_enterprise_user_and_a_list_of_it(
    users: Normaliser, enterprise_user: dict[str, Any]
) -> None:
    body = rendered(dump(users.normalise(enterprise_user).attributes), '"groups":[{"value":"g1","type":"direct"}]')
    context = Context.RESOURCE_QUERY_RESPONSE
    user = User[EnterpriseUser].model_validate_json(body, scim_ctx=context)
    listed = ListResponse[User[EnterpriseUser]].model_validate_json(
        list_response([body], total=1, start_index=1, items_per_page=1), scim_ctx=context
    )
    assert user.user_name == "bjensen@example.com"
    assert user.meta is not None
    assert user.meta.version == 'W/"7"'
    enterprise = user[EnterpriseUser]
    assert enterprise is not None
    assert enterprise.employee_number == "701984"
    assert listed.resources == [user]


def test_the_oracle_accepts_a_rendered_group_with_spliced_members(groups: Normaliser) -> None:
    payload = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Tour Guides"}
    body = rendered(
        dump(groups.normalise(payload).attributes),
        '"members":[{"value":"2819c223","type":"User","$ref":"https://example.com/scim/v2/Users/2819c223"}]',
        resource_type="Group",
    )
    group = Group.model_validate_json(body, scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    assert group.members is not None
    assert [member.value for member in group.members] == ["2819c223"]
