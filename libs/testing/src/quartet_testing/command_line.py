"""The command line: `./quartet`, as a person types it."""

import asyncio
import os
import subprocess
import sys

from quartet_cli.stack import Stack


async def quartet(stack: Stack, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command on the stack."""
    environment = {**os.environ, "QUARTET_HOME": str(stack.home.path), "COLUMNS": "80", **variables}
    command = [sys.executable, "-m", "quartet_cli", *arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr
