"""Prepares the files of a stack before its start: secrets, folders of the servers, bytecode."""

import compileall
import subprocess
import sys
from pathlib import Path

from quartet_cli import accounts
from quartet_cli.bringup import Report
from quartet_cli.errors import QuartetError
from quartet_cli.layout import CHECKOUT, SERVICES, Home

IMPORT_ALL = f"""
import importlib, pkgutil
for name in {[f"quartet_{name}" for name in (*SERVICES, "common")]}:
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
"""Imports all modules that a process of a service imports, also those imported in functions."""


def make_server_folders(home: Home, user: str | None, report: Report) -> None:
    """Create the folders of the servers. If root starts the stack, the account `user` becomes their owner, also of
    existing ones, and can read the secrets of the services.
    """
    folders = [home.data / "redis", home.data / "rabbitmq", home.run / "rabbitmq", home.data / "victoria-metrics"]
    for folder in (*folders, home.run / "rabbitmq/conf.d"):
        folder.mkdir(exist_ok=True, mode=0o700)
    if user == "root":
        report("quartet", f"runs as root: other users cannot reach {CHECKOUT}; move the checkout, e.g. to /opt")
    if user in (None, "root"):
        return
    account = accounts.quartet_user()
    for folder in folders:
        accounts.give(folder, account)
    for reader in (*SERVICES, "audit-owner", "prometheus"):
        accounts.let_read(home.secrets / reader, account)
    write_bytecode()


def write_bytecode() -> None:
    """Compile the modules of the services as root: their account cannot write in the checkout, and each process would
    compile them at each start.
    """
    for folder in (*CHECKOUT.glob("libs/*/src"), *CHECKOUT.glob("services/*/src")):
        compileall.compile_dir(folder, quiet=2)
    mark = Path(sys.prefix) / "quartet-compiled"  # removed with the environment
    if not mark.exists():
        done = subprocess.run([sys.executable, "-c", IMPORT_ALL], check=False, capture_output=True, cwd="/")
        if done.returncode == 0:
            mark.touch()


def make_secrets(home: Home) -> None:
    """Create the secrets that do not exist. Raises QuartetError."""
    command = ["/bin/sh", str(CHECKOUT / "deploy/secrets.sh"), str(home.secrets)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise QuartetError(f"Cannot create the secrets: {done.stderr.strip()}")


def start_watcher(home: Home) -> None:
    """Start the process that ends a temporary stack after this one (`watcher.py`)."""
    command = [sys.executable, "-m", "quartet_cli.watcher", str(home.path)]
    subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
