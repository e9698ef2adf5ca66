"""Nothing waits here: retries come at once, and what is asked of many at once is asked in turn, on one simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import pytest
import stamina
import stamina.instrumentation

from resilience.engine import observe
from resilience.engine.steps import protect
from resilience.replication import epoch


class InTurn(Executor):
    """Does what it is given when it is given it: starting threads took half the time of a swept failover."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Whatever pool it stands for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Done, or failed, already."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it, as from a thread
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True, scope="module")
def _in_turn() -> Iterator[None]:
    """No threads: the same seed gives the same journal."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (epoch, observe, protect):
            patched.setattr(module, "ThreadPoolExecutor", InTurn)
        yield


@pytest.fixture(autouse=True, scope="module")
def _retry_at_once() -> Iterator[None]:
    """Retry without a pause, and without saying so each time."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([])
    with stamina.set_testing(True, attempts=12):
        yield
    stamina.instrumentation.set_on_retry_hooks(hooks)
