"""In CI a skipped test fails the run: there everything is there that a test could need."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when something was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter else 0
    if skipped and os.environ.get("CI") == "true" and session.exitstatus in (0, 5):
        reporter.write_line(f"{skipped} tests were skipped, which CI doesn't allow", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
