"""What pictures take: exact while they are few, told from some folders where they are many."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from resilience.replication import sizes

DAY = 86_400.0


def keep(media: Path, count: int) -> list[int]:
    """So many pictures of other sizes, every second one older than a week; what each takes."""
    kept = []
    for number in range(count):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        path = media / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(number % 50 + 1))
        kept.append(number % 50 + 1)
        if number % 2:
            then = time.time() - 8 * DAY
            os.utime(path, (then, then))
    return kept


def test_few_pictures_are_told_exactly(tmp_path: Path) -> None:
    """All of them, and those of the last week; nothing where no folder is."""
    kept = keep(tmp_path, 300)
    assert sizes.pictures(tmp_path) == {"media_bytes": sum(kept), "recent_media_bytes": sum(kept[::2])}
    assert sizes.pictures(tmp_path / "absent") == {"media_bytes": 0, "recent_media_bytes": 0}


def test_many_pictures_cost_no_more_than_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the folders is looked into, and the sizes are nearly right."""
    kept = keep(tmp_path, 4000)
    looked, scandir = [], os.scandir

    def watched(path: Path) -> object:
        looked.append(path)
        return scandir(path)

    monkeypatch.setattr(sizes, "MOST", 1000)
    monkeypatch.setattr(os, "scandir", watched)
    found = sizes.pictures(tmp_path)
    assert 50 < len([path for path in looked if path != tmp_path]) < 80, "of 256"
    assert found["media_bytes"] == pytest.approx(sum(kept), rel=0.1)
    assert found["recent_media_bytes"] == pytest.approx(sum(kept[::2]), rel=0.15)
