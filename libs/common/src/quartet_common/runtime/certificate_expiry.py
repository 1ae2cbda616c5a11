"""The metric that says when the certificates of the process expire, so that an alert can come before."""

from collections.abc import Iterable
from pathlib import Path

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.config.tls_settings import TlsSettings


def observe_certificates(config: TlsSettings) -> None:
    """Export the end of each configured certificate, as its file has it when the metric is read."""
    pairs = {"server": config.server_pair, "client": config.client_pair}
    files = {name: pair[0] for name, pair in pairs.items() if pair is not None}

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        ends = {name: expiry_of(file) for name, file in files.items()}
        return [Observation(end, {"certificate": name}) for name, end in ends.items() if end is not None]

    if files:
        metrics.get_meter("quartet_common.certificates").create_observable_gauge(
            "quartet.certificate.expiry.timestamp", [observe], unit="s", description="when a certificate expires"
        )


def expiry_of(file: Path) -> float | None:
    """When the first certificate of a file expires, in seconds since 1970; None for a file that cannot be read."""
    from cryptography import x509  # only processes with TLS pay for the import

    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
