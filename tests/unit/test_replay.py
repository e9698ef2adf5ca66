"""How much WAL a restore would replay now, what that takes, and when a snapshot is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from resilience.decide.replaying import due, replaying, too_long
from resilience.engine.observe import observe
from resilience.engine.replay import TELLING, replay, snapshot_at
from resilience.model import Event, Survey, Unknown
from resilience.model.replay import Replay
from resilience.replication import layout, lsn
from resilience.simulation import simulated_fleet
from tests.sim.stage import day_one

FLEET = simulated_fleet()
GB = 1_000_000_000


def verified(size: int, seconds: float, *, ok: bool = True) -> Event:
    """What a verified restore left in the journal."""
    facts: Mapping[str, Any] = {"ok": ok, "replay_bytes": size, "replay_s": seconds, "restore_s": seconds + 30}
    return Event(1.0, "verified", {"vault": "elm", **(facts if ok else {"ok": False})})


def survey(written: int) -> Survey:
    """So much WAL since the newest of all snapshots; birch's is older."""
    seen = observe(day_one().world, FLEET)
    label = layout.label(1, GB, "ab" * 32)
    vaults = {**seen.vaults, "elm": replace(seen.vaults["elm"], snapshot=label)}
    vaults["birch"] = replace(vaults["birch"], snapshot=layout.label(1, 5, "cd" * 32))
    ship = {"server_lsn": lsn.show(GB + written)}
    return replace(seen, vaults=vaults, sites={**seen.sites, "acorn": replace(seen.sites["acorn"], ship=ship)})


def test_counted_from_the_newest_snapshot_at_the_last_measured_rate() -> None:
    """A restore that failed, or replayed next to nothing, tells no rate."""
    events = [verified(TELLING, 2.0), verified(2 * TELLING, 2.0), verified(5, 0.1), verified(0, 0, ok=False)]
    found = replay(survey(GB), events)
    assert found == Replay(GB, TELLING, 30.0)
    assert found.takes_s == GB / TELLING
    assert replay(survey(GB), events[2:]) == Replay(GB)
    assert replay(observe(day_one().world, FLEET), events) is None, "no ship says how far it is"


@pytest.mark.parametrize(("wal", "followed", "grade"), [(1, False, "pass"), (60, False, "warn"), (60, True, "pass")])
def test_warned_where_the_promise_would_be_missed(wal: int, *, followed: bool, grade: str) -> None:
    """Files and replay together are more than promised; a hot standby that follows has replayed it already."""
    fleet = replace(FLEET, promise=replace(FLEET.promise, rto_s=80))
    (line,) = replaying(fleet, Replay(wal, 1.0, 30.0, followed))
    assert line.grade == grade, line
    assert f"take {wal} s to replay" in line.said
    assert ("resilience snapshot" in line.next) == (grade == "warn")


def test_a_standby_counts_while_it_follows_this_epoch() -> None:
    """One that is declared and does not follow, or follows an older epoch, has replayed nothing of it."""
    seen = survey(GB)
    for ship, follows in (
        ({"role": "standby", "epoch": 1}, True),
        ({"role": "standby", "epoch": 0}, False),
        ({}, False),
    ):
        beside = {**seen.sites, "birch": replace(seen.sites["birch"], ship=ship)}
        found = replay(replace(seen, sites=beside), [verified(2 * TELLING, 2.0)])
        assert found is not None
        assert found.followed is follows
    nobody = replace(seen, sites={**seen.sites, "birch": replace(seen.sites["birch"], ship=Unknown("lost"))})
    assert replay(nobody, []) == Replay(GB)


def test_a_rate_that_nobody_measured_is_said() -> None:
    """How much there is, and that nothing tells how long it takes; nothing where even that is not known."""
    (line,) = replaying(FLEET, Replay(GB))
    assert (line.grade, line.said[:7]) == ("pass", "1000 MB")
    assert list(replaying(FLEET, None)) == []
    assert too_long(FLEET, Replay(GB)) == ""


def test_due_by_age_or_by_what_was_written() -> None:
    """Young and quickly replayed: not due. Where the files alone take too long, no snapshot helps."""
    fleet = replace(FLEET, promise=replace(FLEET.promise, rto_s=80))
    spacing = fleet.replication.snapshot_minutes * 60
    assert due(fleet, Replay(1, 1.0, 30.0), spacing - 1) == ""
    assert "minutes old" in due(fleet, None, spacing)
    assert "80 s are promised" in due(fleet, Replay(60, 1.0, 30.0), 5)
    assert due(fleet, Replay(60, 1.0, 90.0), 5) == ""
    assert too_long(fleet, Replay(0, 1.0, 90.0)) == "", "nor is it the replay that takes too long"
    assert snapshot_at([]) == 0.0
