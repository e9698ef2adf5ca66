"""What the garbage collector stumbles over in one test doesn't break another."""

from __future__ import annotations

import ast
import gc
import inspect
import threading
import time
import traceback


class Left:
    """A connection that nobody closed, say: it complains when it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        raise ResourceWarning("unclosed")


def test_garbage_that_complains_while_python_parses() -> None:
    """CPython 3.11 loses count when a parse begins inside another's, as one does to show where an exception came from."""
    source = inspect.getsource(ast)
    before = gc.get_threshold()
    try:
        for allocations in range(700, 1700, 37):
            gc.set_threshold(allocations)
            Left()
            assert ast.parse(source).body
    finally:
        gc.set_threshold(*before)


class LetsOthersOn:
    """Collected, it lets another thread have its turn, in the middle of whatever was interrupted."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


def test_a_traceback_in_one_thread_while_another_parses() -> None:
    """As a server's thread logs one, while pytest or Hypothesis looks at the source of a test."""
    source, done, told = inspect.getsource(ast), threading.Event(), list[str]()

    def fails() -> None:
        while not done.is_set():
            try:
                told.append(str({}["a"]["b"]))  # type: ignore[index]
            except KeyError as error:
                told[:] = traceback.format_exception(error)

    thread = threading.Thread(target=fails)
    thread.start()
    try:
        for _ in range(3):
            for _ in range(300):
                LetsOthersOn()
            assert ast.parse(source).body
    finally:
        done.set()
        thread.join(120)
    assert "KeyError: 'a'\n" in told
