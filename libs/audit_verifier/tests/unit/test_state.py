"""The state directory: what was seen stays, is written as a whole, and damage is said."""

from pathlib import Path

import pytest

from quartet_audit_verifier.notes import parse_checkpoint, parse_vkey
from quartet_audit_verifier.state import State, StateError, default_directory, read_checkpoint
from quartet_testing.audit_bundles import Log

LOG = Log().append(5)


def test_checkpoints_and_keys_are_kept_for_each_log(tmp_path: Path) -> None:
    state, other = State(tmp_path / "state"), Log("globex").append(3)
    for size in (5, 2, 5):
        state.save_checkpoint(parse_checkpoint(LOG.note(size)))
    state.save_checkpoint(parse_checkpoint(other.note()))
    state.save_key(LOG.origin, parse_vkey(LOG.signer.vkey))
    assert [each.size for each in State(tmp_path / "state").checkpoints(LOG.origin)] == [2, 5]
    assert [each.size for each in state.checkpoints(other.origin)] == [3]
    assert [each.text for each in state.keys(LOG.origin)] == [LOG.signer.vkey]
    assert state.keys(other.origin) == []


def test_a_saved_file_is_the_signed_note(tmp_path: Path) -> None:
    State(tmp_path).save_checkpoint(parse_checkpoint(LOG.note()))
    [path] = tmp_path.rglob("*.checkpoint")
    assert path.read_text() == LOG.note()
    assert read_checkpoint(path).size == 5


def test_two_roots_of_one_size_are_both_kept(tmp_path: Path) -> None:
    state = State(tmp_path)
    forked = Log(seed=2).append(5)
    forked.signer = LOG.signer
    for each in (LOG, forked):
        state.save_checkpoint(parse_checkpoint(each.note()))
    assert len(state.checkpoints(LOG.origin)) == 2


def test_an_interrupted_write_leaves_nothing_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quartet_audit_verifier.state.os.fsync", fail)
    with pytest.raises(StateError, match="No space left"):
        State(tmp_path).save_checkpoint(parse_checkpoint(LOG.note()))
    monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert State(tmp_path).checkpoints(LOG.origin) == []


@pytest.mark.parametrize("text", ["", "x", LOG.note()[:-20], Log("globex").append(1).note(), "\udcff"])
def test_a_damaged_file_is_an_error_and_not_ignored(tmp_path: Path, text: str) -> None:
    State(tmp_path).save_checkpoint(parse_checkpoint(LOG.note()))
    [path] = tmp_path.rglob("*.checkpoint")
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StateError, match="checkpoint"):
        State(tmp_path).checkpoints(LOG.origin)


def test_a_damaged_key_is_an_error(tmp_path: Path) -> None:
    State(tmp_path).save_key(LOG.origin, parse_vkey(LOG.signer.vkey))
    [path] = tmp_path.rglob("*.vkey")
    path.write_text("x")
    with pytest.raises(StateError, match="Cannot read the key"):
        State(tmp_path).keys(LOG.origin)


def test_origins_with_odd_characters_have_folders_inside_of_the_directory(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    for number, origin in enumerate(("../../x", "a/" * 500, "\u00e9\u4e2d", "..", "a\\b:c")):
        log = Log(seed=number + 1).append(1)
        log.origin = origin
        checkpoint = parse_checkpoint(log.note())
        state.save_checkpoint(checkpoint)
        assert state.checkpoints(origin) == [checkpoint]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_without_a_directory_nothing_is_kept() -> None:
    state = State(None)
    state.save_checkpoint(parse_checkpoint(LOG.note()))
    assert state.checkpoints(LOG.origin) == []


def test_the_default_directory_is_in_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "quartet-audit-verifier"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_directory().is_relative_to(Path.home())
