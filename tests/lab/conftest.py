"""One real lab for each module of tests that asks for it; code that runs inside runs in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from resilience.lab import Lab

Inside = Callable[..., Any]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is up, and that leaves nothing behind."""
    made = Lab(tmp_path_factory.mktemp("lab") / "lab")
    made.up()
    try:
        yield made
    finally:
        left = made.down()
    assert left == []


@pytest.fixture(scope="module")
def inside(lab: Lab) -> Iterator[Inside]:
    """Runs a function of a test module where the operator is: nothing but the lab can be reached there."""
    with ProcessPoolExecutor(1, get_context("fork"), _enter, (lab.directory,)) as pool:
        yield lambda work, *args: pool.submit(work, *args).result(timeout=300)


def _enter(directory: Path) -> None:
    Lab(directory).enter_operator()
