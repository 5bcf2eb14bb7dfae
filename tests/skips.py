"""A pytest plugin: in CI, a skipped test that is not explained here fails the run.

`make test` loads it with ``-p tests.skips``.
"""

import os

EXPLAINED = {}  # node id: why it may be skipped in CI

_skipped = []


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail") and report.nodeid not in EXPLAINED:
        _skipped.append(report.nodeid)


def pytest_collectreport(report):
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session):
    if os.environ.get("CI") and _skipped and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if os.environ.get("CI"):
        for nodeid in _skipped:
            terminalreporter.write_line(f"SKIPPED WITHOUT A REASON IN tests/skips.py: {nodeid}")
