"""A browser: Chromium without a window, and pages of origins of their own that report what their requests gave."""

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quartet_testing.conditions import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
PAGE = """<!doctype html><title>probes</title>FRAME<script>
const probes = PROBES;
async function probe([name, url, options]) {
    try { return [name, (await fetch(url, options)).status]; } catch { return [name, null]; }
}
async function round() {
    const results = Object.fromEntries(await Promise.all(probes.map(probe)));
    await fetch("/results", {method: "POST", body: JSON.stringify(results)});
    setTimeout(round, 200);
}
round();
</script>"""
"""Sends all requests again and again."""

Results = dict[str, int | None]
"""The status of each response that a page could read; None for those that it could not."""


def find_chromium() -> str | None:
    """The path of Chromium or Chrome; None if neither is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class ProbingPage:
    """A page at an origin of its own, served between `with` and its end. `results` are those of its last round."""

    def __init__(self) -> None:
        self.results: Results = {}
        self.probes: list[tuple[str, str, dict[str, Any]]] = []
        """The requests: a name, the URL, and the options of `fetch`."""
        self.frame: ProbingPage | None = None
        """A page of another origin that this one shows, and so runs."""
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    @property
    def origin(self) -> str:
        """The origin of the page, as browsers send it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def html(self) -> bytes:
        """The page itself."""
        frame = "" if self.frame is None else f'<iframe src="{self.frame.origin}/"></iframe>'
        return PAGE.replace("FRAME", frame).replace("PROBES", json.dumps(self.probes)).encode()

    async def reach(self, expected: Results, what: str, timeout: float) -> None:
        """Wait until `results` are these. Raises AssertionError with the last ones."""

        async def reached() -> bool:
            assert self.results == expected, self.results
            return True

        await eventually(reached, what, timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: ProbingPage) -> None:
        super().__init__(address, _Handler)
        self.page = page


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/" else 404, self.server.page.html() if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.server.page.results = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@asynccontextmanager
async def shown_in_chromium(chromium: str, folder: Path, page: ProbingPage) -> AsyncIterator[None]:
    """Chromium shows `page` inside the block, with a profile in `folder`."""
    command = (chromium, *OPTIONS, f"--user-data-dir={folder}", f"{page.origin}/")
    browser = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        browser.terminate()
        await browser.wait()
