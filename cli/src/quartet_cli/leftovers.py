"""Processes whose supervisord was killed: found by their working directory, and ended gracefully."""

import os
import signal
from pathlib import Path

import psutil

from quartet_cli.layout import Home


def find(home: Home, postgres_data: Path) -> list[psutil.Process]:
    """Processes without a terminal whose working directory is in the stack's own folders."""
    folders = (home.data, home.run, postgres_data)
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [p for p in psutil.process_iter() if p.pid not in mine and _works_in(p, folders)]


def _works_in(process: psutil.Process, folders: tuple[Path, ...]) -> bool:
    try:
        place = Path(process.cwd())
        return process.terminal() is None and any(place.is_relative_to(folder) for folder in folders)
    except psutil.Error:
        return False


def end(processes: list[psutil.Process], patience: float = 30) -> None:
    """Terminate processes; kill those that are still running after `patience` seconds."""
    for process in processes:
        try:
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
