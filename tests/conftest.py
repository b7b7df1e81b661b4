"""Configuration of all tests, for runs in one process and in several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.rights.record import SESSION, Rights

# The duration of an example depends on the load of the machine, not only on the code.
settings.register_profile("ecs-dynamo", deadline=None)
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
"""Look for faults for hours instead of seconds (CONTRIBUTING.md)."""
settings.load_profile("ecs-dynamo")

INTEGRATION = Path(__file__).parent / "integration"
RAN = pytest.StashKey[set[str]]()
"""Names of the collected integration test files."""
UNUSED = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    files = (Path(str(item.fspath)) for item in session.items)
    session.config.stash[RAN] = {f.name for f in files if f.parent == INTEGRATION}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """pytest-xdist: merge the record of a worker process that has ended."""
    reported = getattr(node, "workeroutput", {}).get("rights")
    if reported is not None and error is None:
        SESSION.merge(Rights(granted=reported["granted"], used=reported["used"]))
        node.config.stash[RAN] = node.config.stash.get(RAN, set()) | set(reported["ran"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    ran = config.stash.get(RAN, set())
    if hasattr(config, "workeroutput"):
        config.workeroutput["rights"] = {**SESSION.rights(), "ran": sorted(ran)}
        return
    chosen = any(config.getoption(name) for name in ("keyword", "markexpr"))
    whole = {f.name for f in INTEGRATION.glob("test_*.py")} <= ran and not chosen
    if whole and not session.testsfailed and (problem := SESSION.problem()) is not None:
        config.stash[UNUSED] = problem
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    problem = terminalreporter.config.stash.get(UNUSED, None)
    if problem is not None:
        terminalreporter.section("rights")
        terminalreporter.line(problem, red=True)
