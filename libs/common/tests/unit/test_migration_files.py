"""Migration files: what is read, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from quartet_common.data.migrations import MigrationError, find_migrations, read_migrations

SqlFolder = Callable[..., Path]


def test_files_are_read_in_the_order_of_their_numbers(sql_folder: SqlFolder) -> None:
    found = read_migrations(sql_folder(_0002_more="SELECT 2", _0001_first="SELECT 1"))
    assert [(item.version, item.name, item.sql) for item in found] == [
        (1, "first", "SELECT 1"),
        (2, "more", "SELECT 2"),
    ]


def test_an_empty_folder_has_no_migrations(tmp_path: Path) -> None:
    assert read_migrations(tmp_path) == []


def test_other_files_are_not_minded(sql_folder: SqlFolder) -> None:
    folder = sql_folder(_0001_first="SELECT 1")
    (folder / "README.md").write_text("words")
    assert len(read_migrations(folder)) == 1


@pytest.mark.parametrize("name", ["1_first", "0001-first", "0001_First", "first", "00001_first", "0001_"])
def test_an_odd_name_is_refused_and_said(sql_folder: SqlFolder, name: str) -> None:
    with pytest.raises(MigrationError, match=name):
        read_migrations(sql_folder(**{name: "SELECT 1"}))


@pytest.mark.parametrize(
    "names", [("0002_second",), ("0001_first", "0003_third"), ("0001_first", "0001_other"), ("0000_zero", "0001_first")]
)
def test_a_gap_and_a_double_are_refused(sql_folder: SqlFolder, names: tuple[str, ...]) -> None:
    with pytest.raises(MigrationError, match="without a gap"):
        read_migrations(sql_folder(**dict.fromkeys(names, "SELECT 1")))


def test_a_changed_text_has_another_checksum(sql_folder: SqlFolder) -> None:
    [before] = read_migrations(sql_folder(_0001_first="SELECT 1"))
    [after] = read_migrations(sql_folder(_0001_first="SELECT 1 "))
    assert before.checksum != after.checksum


def test_a_contract_migration_names_what_code_must_know(sql_folder: SqlFolder) -> None:
    found = read_migrations(sql_folder(_0001_first="SELECT 1", _0002_more="-- Why.\n-- contract: 0001\nSELECT 2"))
    assert [one.lowest for one in found] == [0, 1]


@pytest.mark.parametrize(
    "sql",
    ["-- contract", "-- contract: 1", "-- contract: 0003", "-- contract: 0001\n-- contract: 0002", "-- contracts"],
)
def test_a_contract_line_that_cannot_be_read_is_refused(sql_folder: SqlFolder, sql: str) -> None:
    with pytest.raises(MigrationError, match=r"0002_more.sql: a contract migration has one line like"):
        read_migrations(sql_folder(_0001_first="SELECT 1", _0002_more=f"{sql}\nSELECT 2"))


def test_the_migrations_of_this_library_are_found() -> None:
    assert find_migrations("quartet_common")[0].name == "messaging"


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(MigrationError, match="quartet_nothing"):
        find_migrations("quartet_nothing")
