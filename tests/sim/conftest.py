"""Nothing waits here: retries come at once, and what is asked of many at once is asked in turn, on one simulated clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.in_turn import at_once, in_turn


@pytest.fixture(autouse=True, scope="module")
def _without_waiting() -> Iterator[None]:
    """No threads and no pauses, so the same seed gives the same journal."""
    with in_turn(), at_once():
        yield
