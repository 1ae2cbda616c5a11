"""When certificates expire, as a metric."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.certificate_expiry import expiry_of, observe_certificates
from quartet_testing.authority import Authority


def exported(config: ServiceConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    observe_certificates(config)
    data = reader.get_metrics_data()
    if data is None:
        return {}
    found = [one for resource in data.resource_metrics for scope in resource.scope_metrics for one in scope.metrics]
    points: list[Any] = [point for metric in found for point in metric.data.data_points]
    return {point.attributes["certificate"]: point.value for point in points}


def test_the_metric_has_the_end_of_each_certificate(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certfile, keyfile = Authority(tmp_path).issue("127.0.0.1")
    config = ServiceConfig(**settings, certfile=certfile, keyfile=keyfile)
    found = exported(config, monkeypatch)
    assert found.keys() == {"server", "client"}
    assert found["server"] == found["client"] > datetime.now(UTC).timestamp()
    certfile.write_text("being written")
    assert exported(config, monkeypatch) == {}


def test_a_process_without_certificates_has_no_metric(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exported(ServiceConfig(**settings), monkeypatch) == {}


def test_a_file_that_cannot_be_read_has_no_end(tmp_path: Path) -> None:
    assert expiry_of(tmp_path / "missing.pem") is None
