"""Sizes: how much a site's pictures take, told from some of them where there are many.

A picture's name is the hash of its bytes, and its folder is the beginning of that: each folder is as good a sample as any other.
So what a look costs hardly grows with what there is.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

MOST = 10_000
"""No further folder is looked into once so many files were seen; where there are fewer, the sizes are exact."""
RECENT_S = 7 * 86_400.0


def pictures(media: Path) -> dict[str, int]:
    """Bytes of all pictures, and of those of the last week."""
    folders = []
    if media.is_dir():
        with os.scandir(media) as entries:  # the app's user owns it: links that lie there lead nowhere
            folders = sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    since = time.time() - RECENT_S
    files = looked = total = recent = 0
    for folder in folders:
        for size, changed in _files(folder):
            files += 1
            total += size
            recent += size if changed >= since else 0
        looked += 1
        if files >= MOST:
            break
    share = len(folders) / max(1, looked)
    return {"media_bytes": round(total * share), "recent_media_bytes": round(recent * share)}


def _files(folder: Path) -> Iterator[tuple[int, float]]:
    """Size and time of each; one that goes meanwhile takes nothing."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(found.st_mode):
                continue
            yield found.st_size, found.st_mtime
