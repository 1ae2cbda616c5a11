"""Results of the engine without the label of the tenant."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_metrics.prometheus.prometheus_domain import ForgedTenantError, own_result

TRICKY = st.sampled_from(['},"value', '{"metric":{', '"result":[', "}", "]", '"', "\\", '","tenant":"other', "é\n\0"])
TEXTS = st.one_of(st.text(max_size=5), TRICKY, st.tuples(TRICKY, TRICKY).map("".join))
LABELS = st.dictionaries(TEXTS.filter(lambda name: name != "tenant"), TEXTS, max_size=4)
SAMPLES = st.lists(st.tuples(st.integers(0, 2**40), st.sampled_from(["1", "-0.5", "NaN", "+Inf", "1e-9"])), min_size=1)
SERIES = st.tuples(LABELS, SAMPLES, st.booleans())


def body_of(kind: str, found: list[dict[str, Any]], before: str = "", after: str = "") -> bytes:
    """A response as the engine has it; newer ones say more before and after the data."""
    result = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    return f'{{"status":"success",{before}"data":{{"resultType":"{kind}","result":{result}}}{after}}}'.encode()


@given(st.lists(SERIES, max_size=4), st.sampled_from(["vector", "matrix"]), st.booleans())
def test_samples_and_other_labels_are_as_the_engine_has_them(found: Any, kind: str, more: bool) -> None:
    key = "value" if kind == "vector" else "values"
    given_samples = [one[0] if kind == "vector" else one for _, one, _ in found]
    plain = [{"metric": labels, key: one} for (labels, _, _), one in zip(found, given_samples, strict=True)]
    named = [
        {"metric": labels | ({"tenant": "acme"} if has_tenant else {}), key: one}
        for (labels, _, has_tenant), one in zip(found, given_samples, strict=True)
    ]
    around = ('"isPartial":false,', ',"stats":{"seriesFetched": "1"}') if more else ("", "")
    assert json.loads(own_result(body_of(kind, named, *around), "acme")) == json.loads(body_of(kind, plain))


@given(st.lists(SERIES, max_size=3), LABELS, SAMPLES)
def test_a_series_of_another_tenant_is_never_returned(found: Any, labels: Any, samples: Any) -> None:
    own = [{"metric": {**labels, "tenant": "acme"}, "values": samples} for labels, samples, _ in found]
    for place in range(len(own) + 1):
        foreign = {"metric": {**labels, "tenant": "other"}, "values": samples}
        with pytest.raises(ForgedTenantError):
            own_result(body_of("matrix", [*own[:place], foreign, *own[place:]]), "acme")


SERIES_TEXT = '{"metric":{"tenant":"acme"},"values":[[1,"2"]]}'


@pytest.mark.parametrize(
    "result",
    [
        "",
        SERIES_TEXT,
        f"{SERIES_TEXT}{SERIES_TEXT}]",
        f"{SERIES_TEXT}x{SERIES_TEXT}]",
        '{"metric":{"a":1},"values":[[1,"2"]]}]',
        '{"metric":{"a":"b"}}]',
        '{"values":[[1,"2"]],"metric":{"a":"b"}}]',
        '{"metric": {"a":"b","values":[[1,"2"]]}]',
    ],
)
def test_a_result_of_another_form_is_no_result(result: str) -> None:
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{result}'.encode()
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        own_result(body, "acme")
    for other in (b"", b"<html>", body.replace(b"matrix", b"scalar")):
        with pytest.raises((msgspec.MsgspecError, ValueError)):
            own_result(other, "acme")
