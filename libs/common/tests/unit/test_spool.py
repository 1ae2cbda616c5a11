"""Spools: what is written is read, in order, from a file that stays within its limit."""

import asyncio
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quartet_common.web.spool import Spool, SpoolError


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def read_all(spool: Spool, size: int = 3) -> bytes:
    found = b""
    while piece := await spool.read(size):
        assert len(piece) <= size
        found += piece
    return found


async def test_what_is_written_is_read_in_order_also_behind_the_end(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    with Spool(tmp_path, 100, disk) as spool:
        await spool.write(b"hello ")
        reading = asyncio.create_task(read_all(spool))
        await spool.write(b"world")
        await spool.end()
        assert await reading == b"hello world"
        assert await spool.read(3) == b""


async def test_a_writer_that_has_filled_the_file_waits_until_all_of_it_is_read(
    tmp_path: Path, disk: ThreadPoolExecutor
) -> None:
    with Spool(tmp_path, 10, disk) as spool:
        await spool.write(b"0123456789")
        writing = asyncio.create_task(spool.write(b"abc"))
        assert await spool.read(9) == b"012345678"
        await asyncio.sleep(0.01)
        assert not writing.done()
        assert await spool.read(9) == b"9"
        await writing
        assert await spool.read(9) == b"abc"


async def test_a_file_never_holds_more_than_its_limit(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    with Spool(tmp_path, 10, disk) as spool:
        sent = [b"%03d" % number for number in range(100)]

        async def write() -> None:
            for piece in sent:
                await spool.write(piece)
                assert spool._file.seek(0, 2) <= 10
            await spool.end()

        writing = asyncio.create_task(write())
        assert await read_all(spool) == b"".join(sent)
        await writing


async def test_the_file_is_closed_after_what_was_begun_though_nobody_waits_for_it(
    tmp_path: Path, disk: ThreadPoolExecutor
) -> None:
    with Spool(tmp_path, 10, disk) as spool:
        writing = asyncio.create_task(spool.write(b"abc"))
        await asyncio.sleep(0)
        writing.cancel()
    disk.submit(lambda: None).result()
    assert spool._file.closed


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    with pytest.raises(SpoolError) as caught:
        Spool(tmp_path / "missing", 10, disk)
    assert (caught.value.status, caught.value.code) == (503, "disk_unavailable")


async def test_a_full_disk_is_an_error_that_names_the_folder_and_the_setting(
    tmp_path: Path, disk: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Spool(tmp_path, 10, disk) as spool:
        monkeypatch.setattr(os, "pwrite", fail)
        with pytest.raises(SpoolError) as caught:
            await spool.write(b"abc")
    assert (caught.value.status, caught.value.code) == (503, "disk_full")
    assert f"{tmp_path} (No space left on device)" in caught.value.detail
    assert "QUARTET_EXPORT_DIR" in caught.value.detail
