"""The paths of a stack: the checkout, and the home folder with secrets, data, logs and run-time files."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quartet_cli.accounts import can_reach, is_root, postgres_user
from quartet_cli.errors import QuartetError

SERVICES: Final = ("users", "groups", "audit", "metrics")
CHECKOUT: Final = Path(__file__).resolve().parents[3]
IS_CHECKOUT: Final = (CHECKOUT / "requirements.lock").is_file()
"""Whether this is the command of a checkout; if it is installed elsewhere, it is a client of servers only."""
PROGRAM: Final = "./quartet" if IS_CHECKOUT else "quartet"
LONGEST_SOCKET_PATH: Final = 100  # bytes; the kernel takes 108, supervisord adds a suffix of its own while it binds


@dataclass(frozen=True)
class Home:
    """The home folder of one stack; the stack writes below it only (but see `postgres_data`)."""

    path: Path

    @property
    def secrets(self) -> Path:
        """One folder per reader, one file per secret."""
        return self.path / "secrets"

    @property
    def data(self) -> Path:
        """The data of the servers."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """One rotated log per process."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Sockets and configurations, written at each start."""
        return self.path / "run"

    @property
    def state_file(self) -> Path:
        """The state that is kept between starts."""
        return self.path / "state.json"

    @property
    def settings_file(self) -> Path:
        """The settings of this stack."""
        return self.path / "settings.env"

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that identify this home on the machine."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:10]

    @property
    def socket(self) -> Path:
        """supervisord's socket: in the home, or in a private folder in /tmp if its path would be too long."""
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"quartet-{os.getuid()}-{self.digest}" / "s"  # noqa: S108  # nosec B108  # made with mode 0700, owner checked

    @property
    def postgres_data(self) -> Path:
        """The folder of PostgreSQL's cluster: in the home, or below /var/lib/quartet if `postgres` cannot access it."""
        if not is_root() or can_reach(postgres_user(), self.path.parent):
            return self.data / "postgres"
        return Path("/var/lib/quartet") / self.digest

    def prepare(self) -> None:
        """Create the folders, closed to other users; those of root can be traversed by the accounts of the servers."""
        if any(mark in str(self.path) for mark in (" #", " ;", "\n", "'", '"', "$", "\\", "%")):
            raise QuartetError(
                f"The path {self.path} has characters that the servers' configurations do not allow. Set QUARTET_HOME."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        open_mode = 0o711 if is_root() else 0o700
        for folder in (self.path, self.data, self.secrets, self.run):
            folder.mkdir(exist_ok=True)
            folder.chmod(open_mode)
        self.logs.mkdir(exist_ok=True)
        self.logs.chmod(0o700)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        made = self.socket.parent.lstat()  # in /tmp, another user may have put a symbolic link there
        if made.st_uid != os.getuid() or not stat.S_ISDIR(made.st_mode):
            raise QuartetError(f"{self.socket.parent} belongs to another user. Remove it.")


def home_path() -> Path:
    """`QUARTET_HOME`, else `.quartet` in the checkout."""
    given = os.environ.get("QUARTET_HOME")
    return Path(given).expanduser().absolute() if given else CHECKOUT / ".quartet"
