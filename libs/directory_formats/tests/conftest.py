"""What the tests of the formats have in common: reading a file that is given as bytes."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from quartet_directory_formats import LineError, Options, Record, Result, parse

Read = Callable[..., list[Result]]


@pytest.fixture(scope="session")
def read() -> Read:
    """Reads bytes in a format, with options."""

    def run(format_name: str, content: bytes | str, skip: int = 0, **options: Any) -> list[Result]:
        data = content.encode() if isinstance(content, str) else content
        return list(parse(format_name, lambda: io.BytesIO(data), Options(**options), skip))

    return run


@pytest.fixture(scope="session")
def read_records(read: Read) -> Callable[..., list[Record]]:
    """Reads bytes in which no line is broken."""

    def run(*arguments: Any, **options: Any) -> list[Record]:
        results = read(*arguments, **options)
        assert [one for one in results if isinstance(one, LineError)] == []
        return [one for one in results if isinstance(one, Record)]

    return run
