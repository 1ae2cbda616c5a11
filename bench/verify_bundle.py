"""Time and memory of verifying a bundle: bench/verify_bundle.py [ENTRIES] [--gzip] [--runs N].

Makes a bundle of ENTRIES (1,000,000) entries of about 1 kB in five parts, and 100 checkpoints that were seen before.
Verifies it N (3) times; prints seconds, entries per second and the memory (RSS) of the largest process.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

from quartet_testing.audit_bundles import BEGIN, PARTS, Document, Entry, Log, b64, keys_json, mth

CHECKPOINTS = 100


def contents(log: Log, entry: Entry) -> dict[str, Document]:
    """Parts of the sizes that events of users have."""
    number, time = entry.sequence, entry.time.isoformat().replace("+00:00", "Z")
    values = {f"attribute{i}": f"{number:08d} " + "value " * 8 for i in range(8)}
    return {
        "facts": {
            "id": str(entry.id), "sequence": number, "time": time, "recorded_time": time, "tenant": log.tenant,
            "action": entry.action, "type": f"quartet.{entry.action}.v1", "actor": f"client-{number % 97}",
            "resource": {"type": "users", "id": str(entry.id)}, "outcome": "success", "trace_id": f"{number:032x}",
        },
        "actor": {"actor_name": f"Person {number % 1009}", "actor_type": "user"},
        "resource": {"resource_name": f"user{number}@example.com"},
        "source": {"source_address": "192.0.2.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) example/1.0"},
        "changes": {"data": {"before": {}, "after": values}},
    }  # fmt: skip


def lines(log: Log, count: int) -> Iterator[Document]:
    """The lines of a bundle; hashes are kept, entries are not."""
    yield {
        "format": "quartet-audit-bundle/v1", "tenant": log.tenant, "origin": log.origin, "from": 0, "size": count,
        "keys": keys_json([log.signer]), "deployment_keys": keys_json(log.deployment_signers),
    }  # fmt: skip
    levels: list[list[bytes]] = [[]]
    for number in range(count):
        entry = Entry(number, BEGIN + timedelta(seconds=number), UUID(bytes=os.urandom(16)), "users.user.updated", {})
        entry.parts = {name: log.part(content) for name, content in contents(log, entry).items()}
        assert tuple(entry.parts) == PARTS
        entry.seal()
        yield entry.document()
        levels[0].append(sha256(b"\0" + entry.leaf).digest())
        level = 0
        while (number + 1) % 256 ** (level + 1) == 0:
            hashes = levels[level][-256:]
            yield {"tile": [level, len(levels[level]) // 256 - 1], "hashes": b64(b"".join(hashes))}
            levels += [[]] if len(levels) == level + 1 else []
            levels[level + 1].append(mth(hashes))
            level += 1
    text = f"{log.origin}\n{count}\n{b64(mth(levels[0]))}\n"
    note = f"{text}\n{log.signer.line(text)}"
    yield {"checkpoint": note, "deployment": log.deploy(note)}
    save_checkpoints(log, levels[0], Path(os.environ["BENCH_STATE"]))


def save_checkpoints(log: Log, hashes: list[bytes], folder: Path) -> None:
    """Checkpoints that a reader has got before."""
    for number in range(1, CHECKPOINTS + 1):
        size = len(hashes) * number // (CHECKPOINTS + 1)
        text = f"{log.origin}\n{size}\n{b64(root(size, hashes))}\n"
        (folder / f"{number}.checkpoint").write_text(f"{text}\n{log.signer.line(text)}")


def root(size: int, hashes: list[bytes]) -> bytes:
    """The root of the first leaves."""
    return mth(hashes[:size])


def make(path: Path, count: int, *, is_compressed: bool) -> None:
    """Write a bundle."""
    with gzip.open(path, "wb", 6) if is_compressed else path.open("wb") as file:
        for line in lines(Log(), count):
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def main() -> None:
    """Make a bundle and verify it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, seen = Path(folder, "bundle"), Path(folder, "seen")
        seen.mkdir()
        os.environ["BENCH_STATE"] = str(seen)
        # in a process of its own: a child begins with the memory of its parent, which would be measured
        making = get_context("spawn").Process(
            target=make, args=(path, options.entries), kwargs={"is_compressed": options.gzip}
        )
        making.start()
        making.join()
        print(f"{options.entries:,} entries, {path.stat().st_size / 1e6:,.0f} MB, load {os.getloadavg()[0]:.1f}")
        for _ in range(options.runs):
            run(path, seen, options.entries)


def run(path: Path, seen: Path, count: int) -> None:
    """Verify in a process of its own, which starts one for each processor."""
    checkpoints = [word for each in seen.iterdir() for word in ("--checkpoint", str(each))]
    command = [sys.executable, "-m", "quartet_audit_verifier", "verify", "--bundle", str(path), "--json", *checkpoints]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen([*command, "--state", state], stdout=subprocess.PIPE)
        assert process.stdout is not None
        output = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)  # of this child only, and its own children
    seconds = time.monotonic() - begun
    report = json.loads(output)
    assert report["verified"], report["findings"][:3]
    assert report["logs"][report["origin"]]["seen_checkpoints"]["compared"] == CHECKPOINTS
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{seconds:.1f} s ({cpu:.1f} s of CPU), {count / seconds:,.0f} entries/s, RSS {usage.ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
