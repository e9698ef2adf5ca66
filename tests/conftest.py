"""Settings for all tests: nothing is skipped, and programs this machine lacks come from the cache."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Generator

import httpx
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from resilience import caches
from tests import instances

LABS = "tests/lab/"

INSTANCE = os.environ.get("RESILIENCE_LAB_INSTANCE", "")
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
os.environ["RESILIENCE_LAB_INSTANCE"] = INSTANCE + WORKER if WORKER else instances.claim(f"{INSTANCE}test")
"""A lab somebody looks at is left alone by tests, and so is another run's and another worker's."""

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
"""Stacks' tests leave gRPC in a worker; with its support of forks a child may be aborted before it is restic (exit -6)."""

os.environ.setdefault("PGCTLTIMEOUT", "300")
"""Where Postgres comes up or goes down slowly, since the machine is busy, `pg_ctl` is not done waiting after a minute."""

sys.unraisablehook = lambda _: None
"""Connections that other people's code leaves open complain when they are collected. To show one is to parse its lines, and if
Python 3.11 is parsing something else just then, that fails ("AST constructor recursion depth mismatch"): a test of somebody else's."""

traceback._extract_caret_anchors_from_line_segment = lambda _: None  # type: ignore[attr-defined]
"""To point at a part of a line, Python 3.11 parses it, and fails as above, or lets another thread fail so, if that one is parsing too: a
thread of a server that logs a traceback made a test of somebody else's fail, or pytest itself (INTERNALERROR), once in some thousand."""

settings.register_profile(
    "resilience", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)  # how long an example takes says how busy the machine is
settings.load_profile("resilience")

for part in ("connect", "read", "write", "pool"):
    setattr((httpx.get.__kwdefaults__ or {})["timeout"], part, 120.0)
"""What a test asks over HTTP without saying how long it waits is not given up after five seconds."""


def pytest_configure() -> None:
    """Put the cached programs behind the machine's own (unit tests go without); begin without a killed run's lab."""
    caches.use_programs()
    instances.remove_what_was_left()


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Workers share the files; all that make labs stay with one, so that no two labs compete."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return LABS if path.startswith(LABS) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """What `--numprocesses` shares out is shared out by file."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LABS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: a test that can't run says so loudly."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped ({report.longrepr}); run scripts/bootstrap --tests"
    return report
