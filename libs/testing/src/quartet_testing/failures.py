"""Prints each failure of a run in several processes at once: pytest keeps them for its end, which may never come."""

from typing import Final

import pytest

LINES: Final = 40
"""How many lines of a failure are printed at once, the last ones; pytest prints all of it at the end."""


class Failures:
    """Prints failures to the terminal of a run."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"failed ({report.when}): {report.nodeid}", red=True)
            for line in report.longreprtext.splitlines()[-LINES:]:
                self._terminal.write_line(f"    {line}")
            self._terminal.flush()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None and config.getoption("dist", "no") != "no":
        config.pluginmanager.register(Failures(terminal))
