"""Opaque tokens: known by what they begin with and by their checksum, before anybody is asked."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_common.auth.opaque_tokens import (
    ALPHABET,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    SCIM_TOKEN,
    family_of,
    make,
    make_next,
    tenant_of,
)

PREFIXES = (SCIM_TOKEN, REFRESH_TOKEN, CLIENT_SECRET)
TENANTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(st.sampled_from(PREFIXES), TENANTS)
def test_a_token_tells_its_tenant(prefix: str, tenant: str) -> None:
    token = make(prefix, tenant)
    assert token.startswith(f"{prefix}{tenant}_")
    assert len(token) == len(prefix) + len(tenant) + 1 + 43 + 6
    assert tenant_of(prefix, token) == tenant


@given(TENANTS)
def test_tokens_of_a_family_begin_alike_and_are_others(tenant: str) -> None:
    token = make(REFRESH_TOKEN, tenant)
    following = make_next(family_of(token))
    assert family_of(following) == family_of(token)
    assert len(following) == len(token)
    assert tenant_of(REFRESH_TOKEN, following) == tenant
    shared = len(f"{REFRESH_TOKEN}{tenant}_") + 22
    assert following[:shared] == token[:shared] == family_of(token)
    assert following[shared:] != token[shared:]
    assert family_of(make(REFRESH_TOKEN, tenant)) != family_of(token)


@given(st.sampled_from(PREFIXES), st.sampled_from(PREFIXES), TENANTS)
def test_a_token_of_one_kind_is_none_of_another(made: str, asked: str, tenant: str) -> None:
    assert (tenant_of(asked, make(made, tenant)) is None) == (made != asked)


@given(TENANTS, st.data())
def test_a_token_with_any_character_changed_is_found_out(tenant: str, data: st.DataObject) -> None:
    token = make(SCIM_TOKEN, tenant)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(string.printable + "é\0\uff21\u0663").filter(lambda one: one != token[place]))
    assert tenant_of(SCIM_TOKEN, token[:place] + other + token[place + 1 :]) is None


@given(TENANTS, st.integers(1, 60))
def test_a_token_that_was_cut_is_found_out(tenant: str, length: int) -> None:
    token = make(SCIM_TOKEN, tenant)
    assert tenant_of(SCIM_TOKEN, token[:-length]) is None
    assert tenant_of(SCIM_TOKEN, token[length:]) is None


@given(TENANTS, st.text(min_size=1, max_size=5))
def test_a_token_with_anything_at_its_ends_is_found_out(tenant: str, more: str) -> None:
    token = make(SCIM_TOKEN, tenant)
    assert tenant_of(SCIM_TOKEN, more + token) is None
    assert tenant_of(SCIM_TOKEN, token + more) is None


@given(st.text(max_size=200))
def test_texts_are_no_tokens(text: str) -> None:
    assert tenant_of(SCIM_TOKEN, text) is None
    assert tenant_of(SCIM_TOKEN, SCIM_TOKEN + text) is None


@pytest.mark.parametrize("tenant", ["", "Acme", "a_b", "ä", "a" * 64, "*", "a.b", "a\n"])
def test_what_no_tenant_is_called_is_in_no_token(tenant: str) -> None:
    assert tenant_of(SCIM_TOKEN, make(SCIM_TOKEN, tenant)) is None


def test_no_two_tokens_are_alike_and_each_has_256_random_bits() -> None:
    tokens = {make(SCIM_TOKEN, "acme") for _ in range(1000)}
    assert len(tokens) == 1000
    assert len(ALPHABET) ** 43 > 2**256
    assert {token[-49:-6][0] for token in tokens} == set(ALPHABET)


def test_the_checksum_is_the_same_in_every_release() -> None:
    token = "quartet_scim_acme_" + "0123456789" * 4 + "abc"
    found = [text for text in ("3u0khW", "000000") if tenant_of(SCIM_TOKEN, token + text)]
    assert found == ["3u0khW"]
