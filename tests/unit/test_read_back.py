"""What a primary is told of snapshots that vaults gave back, and what its ship makes of it."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.errors import UsageError
from resilience.replication import lsn, notes, read_back
from resilience.replication.spool import Hole, Spool
from tests.unit.test_limits import watched


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


def test_lost_wal_matters_until_k_vaults_gave_back_a_snapshot_from_past_it(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that nobody read back, one from before, fewer vaults, and what was told under another epoch end nothing."""
    monkeypatch.setattr("resilience.replication.limits.flushed", lambda _: 0)
    spool = Spool(tmp_path, 1, config.record.vaults)
    spool.carry(Hole(100, 200, 0.0))
    limits, _ = watched(spool, tmp_path, Event(), backlog_mb=4096)
    before, past = lsn.show(199), lsn.show(200)
    told = {"at": 1.0, "nonce": "n", "start_lsn": past, "vaults": ["birch", "cedar", "elm"]}
    for word in (
        lambda: notes.keep(config, "snapshot", told),
        lambda: read_back.main(config, ["birch", "cedar"], before, "1.0"),
        lambda: read_back.main(config, ["birch"], past, "1.0"),
        lambda: notes.keep(config, "read-back", {**told, "nonce": "of the epoch before"}),
    ):
        word()
        limits._look()
        assert spool.gap is not None
        assert "unprotected" in limits.alarms[0]
    read_back.main(config, ["birch", "cedar"], past, "1.0")
    limits._look()
    assert (spool.gap, limits.alarms) == (None, [])
    again = Spool(tmp_path, 1, config.record.vaults)
    assert (again.gap, [(hole.start, hole.end) for hole in again.lost]) == (None, [(100, 200)])
