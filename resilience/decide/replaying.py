"""Whether WAL since the newest snapshot could be replayed within the promise."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.model import Fleet
from resilience.model.finding import Finding
from resilience.model.replay import Replay

MB = 1e6
ADVICE = (
    "Run `resilience snapshot` now, and the timer of `resilience snapshot --due` every few minutes; lower snapshot_minutes; "
    "or declare a hot standby, which has replayed all of it."
)


def replaying(fleet: Fleet, replay: Replay | None) -> Iterator[Finding]:
    """One line: how much there is to replay, and what that takes of the promise."""
    if replay is None:
        return
    said = f"{replay.wal_bytes / MB:.0f} MB of WAL since the newest snapshot"
    if replay.takes_s is None:
        yield Finding(
            "replay", fleet.name, "pass", f"{said}; no verified restore has replayed enough to tell how long that takes"
        )
        return
    told = f"{said} take {replay.takes_s:.0f} s to replay, as the last verified restore did it, after {replay.files_s:.0f} s for its files"
    if why := too_long(fleet, replay):
        yield Finding("replay", fleet.name, "warn", f"{told}; {why}", ADVICE)
    else:
        yield Finding("replay", fleet.name, "pass", told)


def too_long(fleet: Fleet, replay: Replay | None) -> str:
    """Why a cold restore would miss the promise by its replay; empty where it would not, or nobody knows, a standby follows, or its files alone would."""
    if replay is None or replay.takes_s is None or replay.followed or replay.files_s >= fleet.promise.rto_s:
        return ""
    if replay.files_s + replay.takes_s <= fleet.promise.rto_s:
        return ""
    return f"{fleet.promise.rto_s:g} s are promised"


def due(fleet: Fleet, replay: Replay | None, age_s: float) -> str:
    """Why a snapshot should be taken now; empty where the newest is young and what came since is quickly replayed."""
    if age_s >= fleet.replication.snapshot_minutes * 60:
        return f"the last one is {age_s / 60:.0f} minutes old"
    if why := too_long(fleet, replay):
        return f"what was written since takes too long to replay: {why}"
    return ""
