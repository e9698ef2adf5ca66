"""What the garbage collector stumbles over in one test doesn't break another."""

from __future__ import annotations

import ast
import gc
import inspect


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
