"""Settings for all tests: nothing is skipped, and programs this machine lacks come from the cache."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from resilience import caches

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "test")
os.environ["RESILIENCE_LAB_INSTANCE"] = os.environ.get("RESILIENCE_LAB_INSTANCE", "") + WORKER
"""A lab somebody looks at is left alone by tests, and so is another worker's."""

settings.register_profile("resilience", deadline=None, print_blob=True)
settings.load_profile("resilience")


def pytest_configure() -> None:
    """Put the cached programs behind the machine's own; unit tests go without."""
    caches.use_programs()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers share the files, the longest first; whole labs stay with one, so that no two compete."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=lambda item: group_of(item) != "lab")


def group_of(item: pytest.Item) -> str:
    """What a worker runs as a whole: a file, or all that make labs."""
    folder, *_ = parts = item.path.relative_to(Path(__file__).parent).parts
    return folder if folder == "lab" else "/".join(parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: a test that can't run says so loudly."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped ({report.longrepr}); run scripts/bootstrap --tests"
    return report
