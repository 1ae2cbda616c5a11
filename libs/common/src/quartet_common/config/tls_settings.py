"""TLS settings: the certificate files of a service and their checks."""

import ssl
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

Pair = tuple[Path, Path]
"""The files of a certificate chain and its key."""


class EncryptedKeyError(ValueError):
    """The key is encrypted; a service cannot ask for a passphrase."""


class TlsSettings(BaseSettings):
    """The certificates that a service uses as a server and as a client, and those that it trusts."""

    certfile: Path | None = Field(default=None, description="certificate and chain that the api serves with")
    keyfile: Path | None = None
    verify_client: Literal["none", "optional", "required"] = "none"
    ca_certs: Path | None = Field(default=None, description="the authority of clients' certificates")
    client_certfile: Path | None = Field(default=None, description="what others are shown; default: certfile")
    client_keyfile: Path | None = None
    trust: Path | None = Field(default=None, description="the authority of the servers that are called")

    @model_validator(mode="after")
    def _tls_can_be_used(self) -> "TlsSettings":
        found = flaws(self)
        if found:
            raise ValueError("\n  ".join(found))
        return self

    @property
    def server_pair(self) -> Pair | None:
        """The certificate of the api's port; None without TLS."""
        return None if self.certfile is None or self.keyfile is None else (self.certfile, self.keyfile)

    @property
    def client_pair(self) -> Pair | None:
        """The certificate for servers that request one."""
        if self.client_certfile is None or self.client_keyfile is None:
            return self.server_pair
        return self.client_certfile, self.client_keyfile


def load(context: ssl.SSLContext, pair: Pair) -> None:
    """Load the certificate into `context`. Raises OSError (ssl.SSLError is one), or EncryptedKeyError instead of a
    prompt for the passphrase.
    """
    context.load_cert_chain(*pair, password=_no_passphrase)


def _no_passphrase() -> NoReturn:
    raise EncryptedKeyError("the key is encrypted")


def flaws(config: "TlsSettings") -> list[str]:
    """The errors in the TLS files and settings, each by the name of its variable."""
    found = _pair_flaws("QUARTET_CERTFILE", config.certfile, "QUARTET_KEYFILE", config.keyfile)
    found += _pair_flaws(
        "QUARTET_CLIENT_CERTFILE", config.client_certfile, "QUARTET_CLIENT_KEYFILE", config.client_keyfile
    )
    found += _bundle_flaws("QUARTET_CA_CERTS", config.ca_certs) + _bundle_flaws("QUARTET_TRUST", config.trust)
    verifies = config.verify_client != "none"
    if verifies and config.ca_certs is None:
        found.append("QUARTET_VERIFY_CLIENT: set QUARTET_CA_CERTS too, the authority of the clients")
    if verifies and config.certfile is None:
        found.append("QUARTET_VERIFY_CLIENT: set QUARTET_CERTFILE and QUARTET_KEYFILE too")
    if config.ca_certs is not None and not verifies:
        found.append("QUARTET_CA_CERTS: not used unless QUARTET_VERIFY_CLIENT is optional or required")
    return found


def _pair_flaws(cert_name: str, certfile: Path | None, key_name: str, keyfile: Path | None) -> list[str]:
    if certfile is None and keyfile is None:
        return []
    if certfile is None or keyfile is None:
        return [f"{cert_name} and {key_name} must be set together"]
    missing = [line for name, file in ((cert_name, certfile), (key_name, keyfile)) for line in _missing(name, file)]
    return missing or _unusable(cert_name, key_name, (certfile, keyfile))


def _unusable(cert_name: str, key_name: str, pair: Pair) -> list[str]:
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except EncryptedKeyError:
        return [f"{key_name}: the key in {pair[1]} is encrypted; use a key without a passphrase"]
    except OSError as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return [f"{key_name}: the key in {pair[1]} does not belong to the certificate in {pair[0]}"]
        return [f"{cert_name}, {key_name}: no certificate with its key in {pair[0]} and {pair[1]}"]
    return []


def _bundle_flaws(name: str, file: Path | None) -> list[str]:
    if file is None:
        return []
    missing = _missing(name, file)
    if missing:
        return missing
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError:
        return [f"{name}: no certificates in {file}"]
    return []


def _missing(name: str, file: Path) -> list[str]:
    if not file.is_file():
        return [f"{name}: no such file: {file}"]
    try:
        with file.open("rb"):
            return []
    except OSError as error:
        return [f"{name}: cannot be read: {file}: {error.strerror}"]
