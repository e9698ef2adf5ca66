"""Notices in the fleet's directory: each letter as it came, and what was read out of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.model.notice import Notice

LETTER, READ = "letter", "notice.json"


@dataclass(frozen=True)
class NoticeFiles:
    """One folder a letter, named by its hash."""

    directory: Path

    def keep(self, notice: Notice, letter: bytes) -> Path:
        """Keep a letter for good; the same one again is no second one."""
        place = self.directory / notice.sha256[:16]
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, data in ((LETTER, letter), (READ, json.dumps(notice.to_json(), indent=1).encode())):
            new = place / f"{name}.new"
            new.write_bytes(data)
            new.replace(place / name)
        return place

    def all(self) -> list[Notice]:
        """Every notice, the next deadline first."""
        found = [self._read(path) for path in sorted(self.directory.glob(f"*/{READ}"))]
        return sorted(found, key=lambda notice: notice.deadline_at)

    def letter(self, notice: Notice) -> bytes:
        """The letter as it came."""
        return (self.directory / notice.sha256[:16] / LETTER).read_bytes()

    def _read(self, path: Path) -> Notice:
        try:
            return Notice.from_json(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise ResilienceError(
                f"{path} is no notice.", f"{type(error).__name__}: {error}", "Add the letter beside it again."
            ) from error
