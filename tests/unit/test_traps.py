"""Pages that say which test shows what: other tools' traps, plaza's journeys and attacks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [(ROOT / "docs" / name).read_text() for name in ("traps.md", "plaza-tried.md")]
ROWS = [line for line in PAGES[0].splitlines() if re.match(r"\| \d+ \|", line)]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", "".join(PAGES))


def test_every_trap_has_its_line() -> None:
    """One to eighteen, each with a reason and at least one test."""
    assert [int(line.split("|")[1]) for line in ROWS] == list(range(1, 19))
    assert all(line.split("|")[3].strip() and "::test_" in line.split("|")[4] for line in ROWS)


def test_the_named_tests_are_there() -> None:
    """Each is a function of the file that is named with it."""
    files = {name for name, _ in NAMED}
    there = {
        (name, node.name)
        for name in files
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert [named for named in NAMED if named not in there] == []
