"""TLS certificates: the contexts of a server and of a client; renewed files are read again."""

import logging
import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import httpx

from quartet_common.config.tls_settings import EncryptedKeyError, TlsSettings, load

logger = logging.getLogger(__name__)

REFRESH_INTERVAL = 10.0
"""Seconds between two checks for renewed files."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Cipher suites of TLS 1.2; those of TLS 1.3 are all secure."""
VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(config: TlsSettings, protocols: Sequence[str]) -> ssl.SSLContext | None:
    """The context of the api's port, TLS 1.2 or newer, with `protocols` for ALPN; None without TLS."""
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
        context.options |= ssl.OP_NO_TICKET  # a resumed session would outlive its certificate
        context.num_tickets = 0
    return context


def client_context(config: TlsSettings) -> ssl.SSLContext:
    """The context of calls to other servers. Their certificate must be for their name, from QUARTET_TRUST or else a
    public authority; the own certificate is sent to servers that request one.
    """
    trust = config.trust
    context = httpx.create_ssl_context() if trust is None else ssl.create_default_context(cafile=str(trust))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.client_pair is not None:
        load(context, config.client_pair)
    return context


class Certificates:
    """The contexts of one process. Certificates that `refresh` reads apply to all later connections."""

    def __init__(self, config: TlsSettings) -> None:
        self._config = config
        self._server: ssl.SSLContext | None = None
        self._stamps = self._now_on_disk()

    def server(self, protocols: Sequence[str]) -> ssl.SSLContext | None:
        """The context of the api's port; None without TLS."""
        self._server = server_context(self._config, protocols)
        return self._server

    @cached_property
    def client(self) -> ssl.SSLContext:
        """The context of calls to other servers."""
        return client_context(self._config)

    async def refresh(self) -> None:
        """Read changed certificate files again. If a file is broken, or only half of a pair is new, log it, keep the
        old certificate and try again at the next check.
        """
        stamps = self._now_on_disk()
        if stamps == self._stamps:
            return
        client = self.__dict__.get("client")  # this service is not configured for it
        try:
            for context, pair in ((self._server, self._config.server_pair), (client, self._config.client_pair)):
                if context is not None and pair is not None:
                    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)  # a failure would leave no key
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
