"""Retries of the engine do not wait here: the simulation's clock goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina
import stamina.instrumentation


@pytest.fixture(autouse=True, scope="module")
def _retry_at_once() -> Iterator[None]:
    """Retry without a pause, and without saying so each time."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([])
    with stamina.set_testing(True, attempts=12):
        yield
    stamina.instrumentation.set_on_retry_hooks(hooks)
