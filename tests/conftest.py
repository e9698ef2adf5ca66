"""Settings for all tests: nothing is skipped, and programs this machine lacks come from the cache."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from resilience import caches

os.environ["RESILIENCE_LAB_INSTANCE"] = "test"  # a lab somebody looks at is left alone by tests

settings.register_profile("resilience", deadline=None, print_blob=True)
settings.load_profile("resilience")


def pytest_configure() -> None:
    """Put the cached programs behind the machine's own; unit tests go without."""
    caches.use_programs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: a test that can't run says so loudly."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped ({report.longrepr}); run scripts/bootstrap --tests"
    return report
