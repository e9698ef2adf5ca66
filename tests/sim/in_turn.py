"""What a simulated World does without waiting: retries come at once, and what is asked of many at once is asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def in_turn() -> Iterator[None]:
    """No threads: the same seed gives the same journal."""
    kept = [(module, module.ThreadPoolExecutor) for module in (epoch, observe, protect)]
    for module, _ in kept:
        module.ThreadPoolExecutor = InTurn  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, pool in kept:
            module.ThreadPoolExecutor = pool  # type: ignore[attr-defined]


@contextmanager
def at_once() -> Iterator[None]:
    """Retry without a pause, and without saying so each time."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        with stamina.set_testing(True, attempts=12):
            yield
    finally:
        stamina.instrumentation.set_on_retry_hooks(hooks)
