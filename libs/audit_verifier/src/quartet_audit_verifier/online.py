"""Verifies the log of a running server: its bundle as a stream, and what it serves at /audit/log."""

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from quartet_audit_verifier.bundle import BundleVerifier
from quartet_audit_verifier.client import BUSY, Client, Server, ServerError, refusal
from quartet_audit_verifier.encoding import CutOffError, FormatError, shown
from quartet_audit_verifier.lines import split_lines
from quartet_audit_verifier.merkle import TILE_WIDTH, Tile, leaf_hash
from quartet_audit_verifier.notes import Checkpoint
from quartet_audit_verifier.progress import Progress
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.served_log import ServedLog
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import facts_of, remember

PIECES: Final = 20
"""Times that a bundle is continued after the connection was lost."""
READS: Final = 12
"""Reads of a served checkpoint of the deployment log: a cosigned one is served for up to 10 s after newer ones."""
PAUSE: Final = 1.0
"""Seconds between two of these reads."""


def verify_server(server: Server, tenant: str, trust: Trust) -> Report:
    """Verify the log of a tenant of a server. Raises ServerError and StateError."""
    begun = time.monotonic()
    verifier = BundleVerifier(trust, tenant)
    client, log = server.connect(), ServedLog(server.connect(), tenant)
    progress = Progress(None)
    try:
        _read_bundle(client, verifier, log, progress)
    finally:
        progress.end()
        client.close()
    verifier.finish()
    if verifier.checkpoint is not None:
        checkpoint = verifier.checkpoint
        _guard(verifier, lambda: _check_served_checkpoint(verifier, checkpoint, log))
        if verifier.deployment is not None:
            deployment = verifier.deployment.checkpoint
            _guard(verifier, lambda: _check_deployment(verifier, deployment, ServedLog(server.connect(), None)))
    remember(verifier)
    return Report({**facts_of(verifier), "seconds": round(time.monotonic() - begun, 3)}, verifier.findings)


def _read_bundle(client: Client, verifier: BundleVerifier, log: ServedLog, progress: Progress) -> None:
    """Read the bundle, and go on where the connection was lost."""
    for piece in range(PIECES):
        is_last = piece == PIECES - 1
        before = verifier.count
        response = _open_bundle(client, 0 if verifier.header is None else verifier.tree.computed.size)
        for tiles in verifier.read(_lines(response), is_last=is_last):
            for tile in tiles:
                if tile.level == 0 or not verifier.findings.has("served"):
                    _guard(verifier, _comparison(verifier, tile, log))
            if verifier.header is not None and verifier.count % TILE_WIDTH == 0:
                progress.show(verifier.tree.computed.size, verifier.count, verifier.header.size)
        client.close()
        if verifier.checkpoint is not None or is_last or verifier.is_unreadable:
            return
        time.sleep(0 if verifier.count > before else piece)


def _open_bundle(client: Client, first: int) -> http.client.HTTPResponse:
    path = f"/audit/export?format=bundle&from={first}"
    for attempt in range(1, 6):
        try:
            response = client.open(path)
        except (OSError, http.client.HTTPException) as error:
            client.close()
            if attempt == 5:
                raise ServerError(f"No answer from {client.server.url}: {error}") from error
            time.sleep(attempt)
            continue
        if response.status == 200:
            return response
        body = response.read(65_536)
        client.close()
        if response.status not in BUSY or attempt == 5:
            raise refusal(path, response.status, body)
        time.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        yield from split_lines(response)
    except (OSError, http.client.HTTPException) as error:
        raise CutOffError(f"the connection was lost ({error})") from error


def _comparison(verifier: BundleVerifier, tile: Tile, log: ServedLog) -> Callable[[], None]:
    return lambda: _compare_tile(verifier, tile, log)


def _guard(verifier: BundleVerifier, check: Callable[[], None]) -> None:
    """Run a check of what is served; what cannot be read of it is a finding."""
    try:
        check()
    except (FormatError, ServerError) as error:
        verifier.findings.add("served", f"What the server shows at /audit/log: {error}.")


def _compare_tile(verifier: BundleVerifier, tile: Tile, log: ServedLog) -> None:
    served = log.tile(tile.level, tile.index)
    _compare_hashes(verifier, f"tile {tile.name}", tile, served)
    if tile.level == 0 and tile.first_leaf(0) > verifier.expired.last:  # below, the server may have pruned the leaves
        leaves = [leaf_hash(leaf) for leaf in log.entries(tile.index)]
        _compare_hashes(verifier, f"entry bundle {tile.index}", tile, leaves)


def _compare_hashes(verifier: BundleVerifier, name: str, tile: Tile, served: Sequence[bytes]) -> None:
    for position, (own, other) in enumerate(zip(tile.hashes, served, strict=True)):
        if own != other:
            first = tile.first_leaf(position)
            text = f"The server serves {name} with another hash of entry {first} than the bundle has."
            verifier.findings.add("served", text, first)


def _check_served_checkpoint(verifier: BundleVerifier, own: Checkpoint, log: ServedLog) -> None:
    """The checkpoint that is served is signed, and continues the one of the bundle."""
    served = log.checkpoint()
    if served.origin != own.origin:
        text = f"The server serves a checkpoint of {shown(served.origin)} for the log {shown(own.origin)}."
        verifier.findings.add("wrong_log", text)
    report = dict(verifier.trust.report)
    verifier.trust.check(served, verifier.trusted, verifier.findings)
    verifier.trust.report.update(report)
    _compare_checkpoints(verifier, own, served, log)


def _check_deployment(verifier: BundleVerifier, own: Checkpoint, log: ServedLog) -> None:
    """The deployment log continues the checkpoint of the bundle, and all that were seen."""
    assert verifier.deployment is not None  # noqa: S101  # nosec B101  # for the type checker: the caller has looked
    trust = verifier.trust
    seen = trust.seen_checkpoints(own.origin, verifier.deployment.trusted)
    served = _read_until(log, max(each.size for each in (*seen, own)))
    report = trust.report[own.origin]
    signed = trust.check(served, verifier.deployment.trusted, verifier.findings)
    trust.report[own.origin] = report
    for each in (*seen, own):
        _compare_checkpoints(verifier, each, served, log)
    report["seen_checkpoints"] = {"compared": len(seen), "not_compared": 0}
    if signed is not None and not verifier.findings.has("fork", "rewritten", "rolled_back", "served"):
        trust.save(signed)


def _read_until(log: ServedLog, size: int) -> Checkpoint:
    """The served checkpoint, read again while it has less than `size` leaves, READS times in all."""
    served = log.checkpoint()
    for _ in range(READS - 1):
        if served.size >= size:
            break
        time.sleep(PAUSE)
        served = log.checkpoint()
    return served


def _compare_checkpoints(verifier: BundleVerifier, old: Checkpoint, new: Checkpoint, log: ServedLog) -> None:
    name = f"The log {shown(old.origin)}"
    if new.size < old.size:
        text = f"{name} serves a checkpoint of size {new.size}, and one of size {old.size} was seen before."
        verifier.findings.add("rolled_back", text)
    elif new.size == old.size:
        if new.root != old.root:
            text = f"{name} shows two histories: of size {new.size} it has the root hashes {old.root.hex()} (seen) and "
            verifier.findings.add("fork", f"{text}{new.root.hex()} (served).")
    elif not log.is_consistent(old, new):
        text = f"{name} was rewritten before entry {old.size}: its tiles do not show that the checkpoint of size "
        verifier.findings.add("rewritten", f"{text}{old.size} that was seen is a beginning of that of size {new.size}.")
