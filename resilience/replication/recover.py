"""recover: replay to the end of the chain, and only then promote."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg.errors import ObjectNotInPrerequisiteState

from resilience.errors import Refused, ResilienceError, ShortRecovery
from resilience.replication import control, lsn
from resilience.replication.base import MARKER, WAL, mark, marker
from resilience.replication.config import Config, ours
from resilience.replication.courier import switch_point
from resilience.replication.follow import STATE
from resilience.replication.ready import ADVANCE, make_ready
from resilience.replication.segments import Segments
from resilience.replication.standby import (
    alive,
    connected,
    one,
    own,
    poke,
    prepare,
    settle,
    with_settings_as_high,
    withdraw,
)
from resilience.replication.stream import SLOT
from resilience.replication.tail import refuse_short

JUDGED = "judged"
"""In the marker: up to where replay had come when it was judged; from then on the copy may have been promoted."""
IN_RECOVERY = {"in archive recovery", "shut down in recovery"}
STUCK = 1.5
"""Seconds without progress after which a stopped replay is judged."""
POLL = 0.01
PROMOTION = 60
"""Seconds."""
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Recover and promote, or say again what an earlier run of this epoch found."""
    try:
        return _recover(config)
    except psycopg.OperationalError as error:
        raise ResilienceError(
            "Recovery failed at Postgres.",
            " ".join(str(error).split()),
            "Run the same command again: it goes on from what was reached. Look at Postgres' own log where it ends once more.",
        ) from error


def _recover(config: Config) -> dict[str, Any]:
    state = marker(config)
    if state is None or state["state"] == "restoring":
        raise Refused(
            f"{config.paths.pg} holds no finished restore for epoch {config.record.number}.",
            "Recovery starts from what restore leaves.",
            "Run restore first.",
        )
    if state["state"] == "promoted":
        with connected(config):
            pass
        _discard(config)
        return dict(state["recovered"])
    merged = state["merged"]
    end = lsn.parse(merged["end_lsn"])
    folder = Path(state.get("segments", config.paths.wal / "restored"))  # older restores named no folder
    segments = Segments(folder, int(state["segment_size"]))
    began = time.monotonic()

    def ready() -> None:
        prepare(config, segments, timeline=str(merged["timeline"]))

    if _was_promoted(config, state):
        withdraw(config)
    elif JUDGED not in state or not alive(config):  # else it may be at its promotion
        ready()
    state, recovered, replay_s = with_settings_as_high(config, ready, lambda: _replay_and_promote(config, segments))
    skip = _skip(config, state, end)
    recovered |= {"replay_s": replay_s, "skipped": skip, **make_ready(config, skip)}
    mark(config, "promoted", merged=merged, segment_size=segments.size, recovered=recovered)
    own(config, config.paths.pg / MARKER)
    _discard(config)
    log.info("promoted", seconds=round(time.monotonic() - began, 3), **recovered)
    return recovered


def _replay_and_promote(config: Config, segments: Segments) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What is noted of the copy by then, where it was promoted, and the seconds until all was replayed."""
    state = marker(config) or {}
    merged, began, replay_s = state["merged"], time.monotonic(), 0.0
    end, confirmed = lsn.parse(merged["end_lsn"]), lsn.parse(merged["confirmed_lsn"])
    with connected(config) as db:
        if _in_recovery(db):
            poke(config)
            replayed = replay(db, end, Check(segments, int(merged["timeline"]), end, confirmed, state.get(JUDGED)))
            replay_s = round(time.monotonic() - began, 3)
            log.info("replayed", position=lsn.show(replayed), seconds=replay_s)
            state = {**state, JUDGED: lsn.show(replayed)}
            mark(config, **state)
            own(config, config.paths.pg / MARKER)
            promote(db, slot=True)
        recovered = _promoted(config, db, state.get(JUDGED), merged["end_lsn"])
        settle(config, db)
    return state, recovered, replay_s


def _discard(config: Config) -> None:
    """WAL that was kept to get here goes, and nobody waits for it: there may be very many files.

    It is moved first, so that nothing which somebody puts in its place meanwhile goes with it.
    """
    ours(config.paths.wal)
    (config.paths.wal / STATE).unlink(missing_ok=True)
    done = Path(tempfile.mkdtemp(dir=config.paths.wal, prefix="done-"))
    for part in ("restored", "objects"):
        with suppress(FileNotFoundError):
            (config.paths.wal / part).rename(done / part)
    nothing = subprocess.DEVNULL  # whoever reads what we say would wait for its end
    subprocess.Popen(
        ["rm", "-rf", "--", str(done)], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )


def _skip(config: Config, state: Mapping[str, Any], end: int) -> int:
    """How many numbers of each sequence somebody may have been shown that are not in this copy.

    None where the site before stopped in order and the copy has all up to there. Else some, also in quorum: a commit may have waited
    for nobody by its own wish, a broken end or a forced takeover may leave some out, and the fleet may have been async until yesterday.
    Postgres logs a sequence in records of some 99 bytes, for 33 numbers at most: what was cut off gave away no more.
    """
    if config.stood_down is not None and not state.get("until") and end >= lsn.parse(config.stood_down):
        return 0
    return ADVANCE + int(state.get("cut_bytes", 0)) // 3


class Check:
    """Judges a position at which replay stands still."""

    def __init__(self, segments: Segments, timeline: int, end: int, confirmed: int, judged: str | None = None) -> None:
        self._judged = None if judged is None else lsn.parse(judged)
        self._segments = segments
        self._timeline = timeline
        self._end = end
        self._confirmed = confirmed

    def __call__(self, replayed: int) -> None:
        """ShortRecovery unless everything whole was replayed; a promotion that was cut short removed what it was judged by."""
        if replayed == self._judged:
            return
        start = lsn.segment_start(max(replayed - 1, 0), self._segments.size)
        wal = self._segments.read(self._timeline, start, min(self._end, replayed + lsn.PAGE))
        refuse_short(replayed, self._end, self._confirmed, wal, start, self._segments.size)


def _in_recovery(db: psycopg.Connection[Any]) -> bool:
    return bool(one(db, "SELECT pg_is_in_recovery()"))


def replay(db: psycopg.Connection[Any], end: int, check: Check, *, target: bool = False) -> int:
    """Wait until replay is through, or pauses at its target; ShortRecovery when it stands still before that."""
    last, since = -1, time.monotonic()
    while True:
        replayed = lsn.parse(one(db, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text"))
        if replayed >= end or (target and one(db, "SELECT pg_get_wal_replay_pause_state()") == "paused"):
            return replayed
        if replayed != last:  # to look at the WAL there takes time from the replay: only once it stands still
            last, since = replayed, time.monotonic()
        else:
            try:
                check(replayed)
            except ShortRecovery:
                if time.monotonic() > since + STUCK:
                    raise
            else:
                return replayed
        time.sleep(POLL)


def promote(db: psycopg.Connection[Any], *, slot: bool) -> None:
    """Promote; the slot is made first, so that no WAL after the switch can be removed before ship has it."""
    if slot:
        db.execute(
            "SELECT pg_create_physical_replication_slot(%s, true)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
            (SLOT, SLOT),
        )
    with suppress(ObjectNotInPrerequisiteState):  # an earlier run, which was killed, asked for it
        db.execute("SELECT pg_promote(false)")  # Postgres' own wait looks ten times a second only
    until = time.monotonic() + PROMOTION
    while _in_recovery(db):
        if time.monotonic() > until:
            raise ResilienceError(
                f"Postgres was not promoted within {PROMOTION} s.",
                "It may still be at it.",
                "Look at its log, then run this again.",
            )
        time.sleep(POLL)


def _promoted(config: Config, db: psycopg.Connection[Any], judged: str | None, end_lsn: str) -> dict[str, Any]:
    """Where the new timeline begins, by its history file: not before what was judged.

    Postgres has removed WAL of the old timeline past there, so that nothing can be judged by it any more.
    """
    timeline = int(one(db, "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"), 16)
    switch = switch_point((config.paths.pg / WAL / f"{timeline:08X}.history").read_text())
    if judged is None or switch < lsn.parse(judged):
        raise ShortRecovery(
            f"The copy was promoted at {lsn.show(switch)}, and {judged or 'nothing'} was judged before that.",
            "Somebody else promoted it, or Postgres left out what it had replayed.",
            "Open nothing. Plan again: the new plan sets this copy aside and restores anew.",
        )
    return {"switch_lsn": lsn.show(switch), "timeline": timeline, "end_lsn": end_lsn}


def _was_promoted(config: Config, state: Mapping[str, Any]) -> bool:
    """Whether an earlier run promoted this copy and was ended before it could say so: to prepare it again would make it a standby."""
    return JUDGED in state and control.read(config)["Database cluster state"] not in IN_RECOVERY
