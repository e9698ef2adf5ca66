"""What a standby does while its disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience.replication.segments import Segments
from tests.replication.disks import tmpfs

SEGMENT = 1 << 20


@pytest.fixture
def half_a_segment(tmp_path: Path) -> Iterator[Path]:
    """A disk that has room for half of a segment of WAL."""
    with tmpfs(tmp_path, str(SEGMENT // 2)):
        yield tmp_path


def test_wal_that_the_disk_takes_in_part_is_not_written(half_a_segment: Path) -> None:
    """The system takes what there is room for and calls that no error: it is told as a full disk, and the same write goes through later."""
    segments, wal = Segments(half_a_segment, SEGMENT), os.urandom(SEGMENT)
    with pytest.raises(OSError, match="No space left on device") as told:
        segments.write(1, 0, wal)
    assert told.value.filename == str(segments.path(1, 0))
    subprocess.run(["mount", "-o", f"remount,size={2 * SEGMENT}", str(half_a_segment)], check=True)
    segments.write(1, 0, wal)
    assert segments.read(1, 0, SEGMENT) == wal
