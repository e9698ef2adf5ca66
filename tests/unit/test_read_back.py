"""What a primary is told of snapshots that vaults gave back, and what its ship makes of it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.errors import UsageError
from resilience.replication import notes, read_back


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """What notes ask of a configuration; k = 2 of three vaults."""
    record = SimpleNamespace(number=1, vaults=("birch", "cedar", "elm"), k=2, nonce="n")
    return SimpleNamespace(record=record, paths=SimpleNamespace(spool=tmp_path))


def test_the_newest_snapshot_is_the_hosts_own_or_one_that_it_was_told_of(config: Any) -> None:
    """A standby's counts once a vault gave it back, and is never from the future, whatever the standby's clock says."""
    assert read_back.newest(config) is None
    read_back.main(config, ["elm"], "0/64", "100.0")
    assert read_back.newest(config) == {"at": 100.0, "nonce": "n", "start_lsn": "0/64", "vaults": ["elm"]}
    own = {"at": 200.0, "nonce": "n", "start_lsn": "0/C8", "vaults": ["birch", "elm"]}
    notes.keep(config, "snapshot", own)
    assert read_back.newest(config) == own
    read_back.main(config, ["elm"], "0/C9", str(time.time() + 3600))
    newest = read_back.newest(config)
    assert newest is not None
    assert 200.0 < newest["at"] <= time.time()


@pytest.mark.parametrize(
    ("vaults", "begin", "at"),
    [(None, "0/64", "1.0"), (["attic"], "0/64", "1.0"), (["elm"], None, "1.0"), (["elm"], "0/64", "now")],
)
def test_what_says_nothing_of_a_snapshot_is_refused(
    config: Any, vaults: list[str] | None, begin: str | None, at: str
) -> None:
    """A vault of no such epoch, no position, no time: nothing is kept."""
    with pytest.raises(UsageError):
        read_back.main(config, vaults, begin, at)
    assert read_back.newest(config) is None
