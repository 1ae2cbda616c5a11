"""TLS: what a service shows and whom it trusts, as a server and as a client; files that are renewed are read again."""

import logging
import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx

if TYPE_CHECKING:
    from quartet_common.config.settings import ServiceConfig

logger = logging.getLogger(__name__)

REFRESH_INTERVAL = 10.0
"""Seconds between two looks whether a file was renewed."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of TLS 1.3 are all good."""
VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

Pair = tuple[Path, Path]
"""The files of a certificate with its chain, and of its key."""


class EncryptedKeyError(ValueError):
    """A key needs a passphrase, which nobody is there to type."""


def server_context(config: "ServiceConfig", protocols: Sequence[str]) -> ssl.SSLContext | None:
    """What the api serves with, TLS 1.2 or newer, offering `protocols` by ALPN; None where it serves without TLS."""
    if config.server_pair is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    load(context, config.server_pair)
    if config.ca_certs is not None:
        context.load_verify_locations(config.ca_certs)
        context.verify_mode = VERIFY[config.verify_client]
        context.options |= ssl.OP_NO_TICKET  # a session that goes on would go on after its certificate has expired
        context.num_tickets = 0
    return context


def client_context(config: "ServiceConfig") -> ssl.SSLContext:
    """What other servers are called with: they must have a certificate for their name, of QUARTET_TRUST or else of a
    public authority; one's own is shown to those that ask.
    """
    trust = config.trust
    context = httpx.create_ssl_context() if trust is None else ssl.create_default_context(cafile=str(trust))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.client_pair is not None:
        load(context, config.client_pair)
    return context


def load(context: ssl.SSLContext, pair: Pair) -> None:
    """Give `context` the certificate. Raises OSError (ssl.SSLError is one), or EncryptedKeyError; nothing waits for a
    passphrase at a terminal.
    """
    context.load_cert_chain(*pair, password=_no_passphrase)


def _no_passphrase() -> NoReturn:
    raise EncryptedKeyError("the key is encrypted")


class Certificates:
    """The contexts of one process. What `refresh` finds renewed counts for all connections that begin afterwards."""

    def __init__(self, config: "ServiceConfig") -> None:
        self._config = config
        self._server: ssl.SSLContext | None = None
        self._stamps = self._now_on_disk()

    def server(self, protocols: Sequence[str]) -> ssl.SSLContext | None:
        """The context that the api serves with; None without TLS."""
        self._server = server_context(self._config, protocols)
        return self._server

    @cached_property
    def client(self) -> ssl.SSLContext:
        """The context of calls to others."""
        return client_context(self._config)

    async def refresh(self) -> None:
        """Read certificates again whose files have changed. Half of a pair, or a broken file, is logged and tried again
        at the next look; until then the old one goes on.
        """
        stamps = self._now_on_disk()
        if stamps == self._stamps:
            return
        client = self.__dict__.get("client")  # not made for this
        try:
            for context, pair in ((self._server, self._config.server_pair), (client, self._config.client_pair)):
                if context is not None and pair is not None:
                    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)  # what fails would leave no key behind
                    load(context, pair)
        except (OSError, EncryptedKeyError) as error:
            logger.warning("a renewed certificate cannot be used", extra={"error": f"{type(error).__name__}: {error}"})
            return
        self._stamps = stamps
        logger.info("certificates were read again")

    def _now_on_disk(self) -> list[tuple[int, int, int]]:
        files = [file for pair in (self._config.server_pair, self._config.client_pair) if pair for file in pair]
        return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def flaws(config: "ServiceConfig") -> list[str]:
    """What is wrong with the files and settings of TLS, each by the name of its variable."""
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
