"""Where in a TOML text a key stands: errors name the line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

Loc = tuple[int | str, ...]


def line_of(text: str, loc: Loc) -> int | None:
    """The line (from 1) where this key stands, else where its table starts, else None."""
    best: int | None = None
    for number, path in _lines(text):
        if loc[: len(path)] == path:
            best = number
            if path == loc:
                return number
    return best


def _lines(text: str) -> Iterator[tuple[int, Loc]]:
    """Each table header and key of a TOML text with its path; enough for our own format."""
    table: Loc = ()
    counts: Counter[Loc] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            path: Loc = tuple(part.strip().strip('"') for part in header[2].split("."))
            if header[1] == "[[":
                table = (*path, counts[path])
                counts[path] += 1
            else:
                table = path
            yield number, table
        elif key := re.match(r'\s*"?([\w-]+)"?\s*=', line):
            yield number, (*table, key[1])
