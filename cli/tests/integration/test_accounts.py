"""Started by root, a stack runs as accounts that can do less."""

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quartet_cli import accounts, binaries, confined
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home
from quartet_cli.servers import nginx
from quartet_cli.servers.files import write_private

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root changes accounts; others run a stack as themselves")
SHOW = "import os, sys; print(os.getuid(), os.getgid(), os.getgroups(), open(sys.argv[1]).read())"


def closed_folder(folder: Path) -> Path:
    """A readable file in an open folder, below one that is closed to others."""
    (folder / "closed/open").mkdir(parents=True)
    (folder / "closed").chmod(0o700)
    (folder / "closed/secret").write_text("secret")
    (folder / "closed/open/file").write_text("text")
    return folder / "closed/open"


def confine(user: str, *folders: Path, show: Path) -> subprocess.CompletedProcess[str]:
    known = (Path(sys.prefix), Path(sys.base_prefix).resolve())
    command = [sys.executable, "-m", "quartet_cli.confined", user, *map(str, (*known, *folders)), "--"]
    return subprocess.run(
        [*command, sys.executable, "-c", SHOW, str(show)], check=False, capture_output=True, text=True, cwd="/"
    )


def test_a_command_runs_as_the_account_alone_and_reaches_a_folder_below_a_closed_one(tmp_path: Path) -> None:
    folder = closed_folder(tmp_path)
    nobody = pwd.getpwnam("nobody")
    done = confine("nobody", folder, show=folder / "file")
    assert done.stdout == f"{nobody.pw_uid} {nobody.pw_gid} [] text\n", done.stderr
    assert (folder.parent.stat().st_mode & 0o777, (folder.parent / "secret").exists()) == (0o700, True)


def test_what_is_not_shown_stays_closed(tmp_path: Path) -> None:
    folder = closed_folder(tmp_path)
    for user in ("nobody", "root"):
        assert confine(user, folder, show=folder.parent / "secret").returncode == 1
    assert "PermissionError" in confine("nobody", show=folder / "file").stderr


def test_the_account_of_a_stack_can_run_the_services(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    assert confined.works(accounts.quartet_user().pw_name, tmp_path)


def test_what_a_stack_that_ran_as_root_left_is_given_to_the_account_once(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    (tmp_path / "data/below").mkdir(parents=True)
    (tmp_path / "data/below/file").touch()
    (tmp_path / "outside").touch()
    (tmp_path / "data/link").symlink_to(tmp_path / "outside")
    accounts.give(tmp_path / "data", account)
    owned = [path.lstat().st_uid for path in (tmp_path / "data", *(tmp_path / "data").rglob("*"))]
    assert owned == [account.pw_uid] * 4
    assert (tmp_path / "outside").stat().st_uid == 0
    (tmp_path / "data/of-root").touch()
    accounts.give(tmp_path / "data", account)
    assert (tmp_path / "data/of-root").stat().st_uid == 0


def test_the_folder_of_the_proxy_is_roots_also_if_an_earlier_version_gave_it_to_the_account(tmp_path: Path) -> None:
    """nginx's master would give the target of the link to the account."""
    account, outside = accounts.quartet_user(), tmp_path / "outside"
    home = Home(tmp_path / "home")
    home.prepare()
    (home.data / "nginx/cache").mkdir(parents=True)
    outside.mkdir()
    (home.data / "nginx/proxy").symlink_to(outside)
    accounts.give(home.data / "nginx", account)
    nginx.prepare(home, {"proxy": 8080, "proxy-metrics": 8081}, {}, account.pw_name)
    command = [str(binaries.find().nginx), "-t", "-p", str(home.run), "-c", str(home.run / "nginx.conf")]
    subprocess.run([*command, "-e", "/dev/stderr"], check=True, capture_output=True)  # creates the subfolders
    made = (home.data / "nginx").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (0, 0, 0o711)
    assert {path.name for path in (home.data / "nginx").iterdir()} > {"cache", "proxy"}
    assert [path.lstat().st_uid for path in (home.data / "nginx").iterdir()] == [account.pw_uid] * 6
    assert outside.stat().st_uid == 0


def test_a_folder_that_becomes_a_link_while_it_is_given_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data/below", "outside"):
        (tmp_path / name).mkdir(parents=True)
        for file in ("a", "b"):
            (tmp_path / name / file).touch()
    chown = os.chown

    def replace_at_first_file(path: str, *given: Any, **options: Any) -> None:
        chown(path, *given, **options)
        if Path(path).name in ("a", "b") and not (tmp_path / "moved").exists():
            (tmp_path / "data/below").rename(tmp_path / "moved")
            (tmp_path / "data/below").symlink_to(tmp_path / "outside")

    monkeypatch.setattr(os, "chown", replace_at_first_file)
    accounts.give(tmp_path / "data", pwd.getpwnam("nobody"))
    assert (tmp_path / "data/below").is_symlink()
    assert [file.stat().st_uid for file in (tmp_path / "outside").iterdir()] == [0, 0]


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = Home(tmp_path / ("long-" * 20))
    (tmp_path / "target").mkdir()
    home.socket.parent.symlink_to(tmp_path / "target")
    with pytest.raises(QuartetError, match="Remove it"):
        home.prepare()


def test_the_account_can_read_secrets_and_not_change_them(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    (tmp_path / "users").mkdir(mode=0o700)
    write_private(tmp_path / "users/password", "example")
    accounts.let_read(tmp_path / "users", account)
    found = [(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) for path in
             (tmp_path / "users", tmp_path / "users/password")]  # fmt: skip
    assert found == [(0, account.pw_gid, 0o750), (0, account.pw_gid, 0o640)]
