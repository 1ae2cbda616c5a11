"""A witness for tests (C2SP tlog-witness): it verifies signatures and consistency proofs itself, and cosigns."""

import base64
import struct
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dilithium_py.ml_dsa import ML_DSA_44

from quartet_testing.merkle import is_consistent
from quartet_testing.tlog import DASH, Head, number, standard_base64, verify

ED25519_COSIGNATURE, ML_DSA = 4, 6


class Witness:
    """Listens on a free loopback port between `with` and its end; it knows one log by the first of `log_keys`.

    A test may set `size` and `root`, what it has cosigned last; `pause`, the seconds before it answers; `forged`, to
    have it answer with a signature that is none; and `refusal`, a status that it answers to everything.
    """

    def __init__(self, name: str, log_keys: Sequence[str], type_: int = ED25519_COSIGNATURE) -> None:
        self.name, self.log_keys, self.type = name.encode(), log_keys, type_
        self.size, self.root = 0, sha256().digest()
        self.pause, self.forged, self.refusal = 0.0, False, 0
        self.statuses: list[int] = []
        if type_ == ML_DSA:
            self._public, self._secret = ML_DSA_44.keygen()
        else:
            self._key = Ed25519PrivateKey.generate()
            self._public = self._key.public_key().public_bytes_raw()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name=name, daemon=True)

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The submission prefix."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def vkey(self) -> str:
        """The verifier key of the cosignatures."""
        material = bytes([self.type]) + self._public
        return f"{self.name.decode()}+{self._key_id.hex()}+{base64.b64encode(material).decode()}"

    @property
    def _key_id(self) -> bytes:
        return sha256(self.name + b"\n" + bytes([self.type]) + self._public).digest()[:4]

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer (tlog-witness, "add-checkpoint")."""
        time.sleep(self.pause)
        with self._lock:
            status, answer = (self.refusal, b"") if self.refusal else self._add(body)
            self.statuses.append(status)
        return status, answer

    def _add(self, body: bytes) -> tuple[int, bytes]:
        lines, _, note = body.partition(b"\n\n")
        first, *rest = lines.split(b"\n")
        assert first.startswith(b"old ")
        old, hashes = number(first[4:]), [standard_base64(line) for line in rest]
        assert len(hashes) <= 63
        try:
            head = verify(note, self.log_keys[0])
        except AssertionError:
            return 403, b""
        if old > head.size:
            return 400, b""
        if old != self.size:
            return 409, b"%d\n" % self.size
        if not is_consistent(old, head.size, (self.root, head.root), hashes):
            return 422, b""
        self.size, self.root = head.size, head.root
        return 200, self._line(head)

    def _line(self, head: Head) -> bytes:
        timestamp = struct.pack(">Q", int(time.time()))
        if self.type == ML_DSA:
            origin = head.origin.encode()
            message = b"subtree/v1\n\x00" + bytes([len(self.name)]) + self.name + timestamp
            message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, head.size) + head.root
            signature = ML_DSA_44.sign(self._secret, message)
        else:
            message = b"cosignature/v1\ntime %d\n" % int.from_bytes(timestamp, "big") + head.text
            signature = self._key.sign(message)
        if self.forged:
            signature = bytes(len(signature))
        return DASH + self.name + b" " + base64.b64encode(self._key_id + timestamp + signature) + b"\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        super().__init__(address, _Handler)
        self.witness = witness


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.witness.add_checkpoint(body) if self.path == "/add-checkpoint" else (404, b"")
        self.send_response(status)
        self.send_header("Content-Type", "text/x.tlog.size" if status == 409 else "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests read `statuses`."""
