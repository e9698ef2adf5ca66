"""The history of drills: one JSON object a line, appended and synced."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience.errors import ResilienceError


@dataclass(frozen=True)
class HistoryFile:
    """Where past drills are remembered, beside their reports."""

    path: Path

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep one line, durably."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first; what a power cut tore off at the end is left out."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [self._entry(number, line) for number, line in enumerate(lines, 1) if line.endswith("\n")]

    def _entry(self, number: int, line: str) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ResilienceError(
                f"{self.path}:{number} is not a line of a drill's history.",
                "It is no JSON object.",
                "Move that line away; reports are beside it, each with its own journal.",
            ) from None
        return value
