"""Private files: written atomically, with mode 0600 from the start."""

import os
from pathlib import Path


def write_private(path: Path, text: str, owner_of: Path | None = None) -> None:
    """Replace `path` by a file with a text and mode 0600; root gives it to the owner of `owner_of`."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if owner_of is not None and os.getuid() == 0:
            owner = owner_of.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    new.replace(path)
