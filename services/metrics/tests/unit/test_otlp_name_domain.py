"""The names of OTLP metrics and attributes, by the examples and rules of the specification."""

import pytest

from quartet_metrics.ingest.otlp_name_domain import label_name, metric_name


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("system.filesystem.usage", "By", "system_filesystem_usage_bytes"),
        ("system.network.dropped", "{packets}", "system_network_dropped"),
        ("system.network.dropped", "packets", "system_network_dropped_packets"),
        ("broken.metric", "m/s", "broken_metric_meters_per_second"),
        ("speed", "km/h", "speed_km_per_hour"),
        ("http.server.request.duration", "s", "http_server_request_duration_seconds"),
        ("memory_bytes", "By", "memory_bytes"),
        ("a..b__c!", "", "a_b_c"),
        ("2xx.responses", "", "_2xx_responses"),
        ("cpu.load", "%", "cpu_load_percent"),
        ("rate", "{request}/s", "rate_per_second"),
        ("größe", "", "gr_e"),
        ("ns:sub", "", "ns:sub"),
        ("...", "", ""),
    ],
)
def test_a_name_is_made_of_words_and_the_unit(name: str, unit: str, expected: str) -> None:
    assert metric_name(name, unit, is_counter=False, is_gauge=True) == expected
    assert metric_name(name, unit, is_counter=False, is_gauge=False) == expected


def test_only_a_gauge_without_dimension_is_a_ratio() -> None:
    assert metric_name("cpu.utilization", "1", is_counter=False, is_gauge=True) == "cpu_utilization_ratio"
    assert metric_name("cpu.ratio.used", "1", is_counter=False, is_gauge=True) == "cpu_used_ratio"
    assert metric_name("items", "1", is_counter=True, is_gauge=False) == "items_total"
    assert metric_name("items", "1", is_counter=False, is_gauge=False) == "items"


def test_a_counter_ends_in_total_once() -> None:
    assert metric_name("requests", "", is_counter=True, is_gauge=False) == "requests_total"
    assert metric_name("total.sent", "By", is_counter=True, is_gauge=False) == "sent_bytes_total"
    assert metric_name("requests_total", "", is_counter=True, is_gauge=False) == "requests_total"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("http.status_code", "http_status_code"),
        ("0abc", "key_0abc"),
        ("_private", "key_private"),
        ("a--b", "a_b"),
        ("ü", "key_"),
        ("tenant", "tenant"),
    ],
)
def test_a_label_has_letters_digits_and_single_underscores(key: str, expected: str) -> None:
    assert label_name(key) == expected
