"""The certificate and key of the proxy: what is wrong with the two files, and when they change."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cryptography import x509

Pair = tuple[Path, Path]
"""The files of a certificate with its chain, and of its key; both PEM."""
Stamps = tuple[tuple[int, int, int], ...]


class EncryptedKeyError(ValueError):
    """The key is encrypted; the proxy cannot ask for a passphrase."""


def problem(pair: Pair, now: datetime | None = None) -> str | None:
    """Why the proxy cannot serve with these files, None if it can."""
    for file in pair:
        try:
            file.read_bytes()
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}"
    return _certificate_problem(pair[0], now or datetime.now(UTC)) or _key_problem(pair)


def _certificate_problem(certfile: Path, now: datetime) -> str | None:
    try:
        first = x509.load_pem_x509_certificates(certfile.read_bytes())[0]
    except ValueError:
        return f"{certfile} has no certificate in PEM"
    if now >= first.not_valid_after_utc:
        return f"the certificate in {certfile} expired at {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
    if now < first.not_valid_before_utc:
        return f"the certificate in {certfile} is valid from {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only"
    return None


def _key_problem(pair: Pair) -> str | None:
    certfile, keyfile = pair
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, password=_no_passphrase)
    except EncryptedKeyError:
        return f"{keyfile} is encrypted; the proxy needs a key without a passphrase"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{keyfile} is the key of another certificate than that in {certfile}"
        return f"{keyfile} has no key in PEM that the proxy can use ({error.reason or error})"
    return None


def _no_passphrase() -> NoReturn:
    raise EncryptedKeyError


def expiry(certfile: Path) -> datetime:
    """The end of the certificate's validity."""
    return x509.load_pem_x509_certificates(certfile.read_bytes())[0].not_valid_after_utc


def stamps(pair: Pair) -> Stamps:
    """What differs after one of the files has changed; symbolic links are followed."""
    return tuple(_stamp(file) for file in pair)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
