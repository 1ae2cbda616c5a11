"""A file with a thousand kinds of broken lines: each is reported by its line, and all others are read."""

import time
from collections.abc import Callable
from itertools import islice

from quartet_directory_formats import LineError, Record, Result
from quartet_testing import broken_lines

Read = Callable[..., list[Result]]
COLUMNS = b"username,displayname,title"


def check(results: list[Result], lines: list[int], good: int) -> None:
    """The errors are those of `lines`, with reasons, and the other records are there."""
    errors = [one for one in results if isinstance(one, LineError)]
    assert [one.line for one in errors] == lines
    assert all(one.reason.endswith(".") and one.value.isprintable() and len(one.value) <= 200 for one in errors)
    names = [one.resource["userName"] for one in results if isinstance(one, Record)]
    assert names == [f"user{number}" for number in range(good)]


def test_all_kinds_are_different() -> None:
    for kinds in (broken_lines.ndjson(), broken_lines.csv(3), broken_lines.ldif()):
        lines = list(kinds)
        assert len(set(lines)) == len(lines)


def test_a_thousand_kinds_of_broken_ndjson(read: Read) -> None:
    broken = list(broken_lines.ndjson())
    assert len(broken) > 1000
    content, lines = broken_lines.users_between(broken)
    begun = time.process_time()
    check(read("ndjson", content, encoding="utf-8"), lines, len(broken))
    assert time.process_time() - begun < 5


def test_broken_rows_of_csv(read: Read) -> None:
    broken = list(broken_lines.csv(3))
    rows = [row for number, bad in enumerate(broken) for row in (bad, b"user%d,x,y" % number)]
    content = b"\n".join([COLUMNS, *rows])
    check(read("csv", content, encoding="utf-8"), list(range(2, 2 * len(broken) + 2, 2)), len(broken))


def test_broken_entries_of_ldif(read: Read) -> None:
    broken = list(broken_lines.ldif())
    content, lines = b"", []
    for number, bad in enumerate(broken):
        lines.append(content.count(b"\n") + 1)
        content += bad + b"\n\ndn: uid=user%d\nobjectClass: person\nuid: user%d\n\n" % (number, number)
    check(read("ldif", content, encoding="utf-8"), lines, len(broken))


def test_reading_continues_at_each_place_of_a_broken_file(read: Read) -> None:
    content, _ = broken_lines.users_between(list(islice(broken_lines.ndjson(), 0, 1000, 50)))
    everything = read("ndjson", content, encoding="utf-8")
    for count in range(len(everything)):
        assert read("ndjson", content, count, encoding="utf-8") == everything[count:]
