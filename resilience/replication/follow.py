"""follow: a standby that is fed from vaults alone, can be read, and is ready to be promoted at any time.

It starts from a snapshot, hands Postgres the WAL that no promoter can miss, and goes on across the
switch when another site takes over. Stopped, it leaves everything where `restore` and `recover` go on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import BrokenChain, Refused, ResilienceError
from resilience.model import EpochRecord
from resilience.replication import chain as chains
from resilience.replication import chunk, disk, lsn, standby
from resilience.replication.base import CLONING, afresh, clone, empty, following, owner_of
from resilience.replication.chain import Chain
from resilience.replication.chunk import Header
from resilience.replication.config import Config, ours, write_atomic
from resilience.replication.entries import Entries
from resilience.replication.forward import Forward
from resilience.replication.gather import Gathered
from resilience.replication.incoming import Incoming
from resilience.replication.objects import Place, object_path
from resilience.replication.pictures import Pictures
from resilience.replication.prompt import Prompt
from resilience.replication.reader import Reader
from resilience.replication.segments import Segments
from resilience.replication.standby_prune import StandbyPrune
from resilience.replication.standby_report import StandbyReport
from resilience.replication.trace import Leg

LOOK = 1.0
"""Seconds between looks for a newer epoch, at Postgres, and reports."""
STATE = "follow.json"
log = structlog.get_logger()


class Follower:
    """One standby that follows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        ours(config.paths.wal)
        self._vaults = config.open()
        self._forward = Forward(config, self._vaults)
        self._forward.look()
        self._forward.get = Prompt(self._vaults).get
        base = following(config) or clone(config, self._vaults, self._forward.known)
        self._base = base
        self._segments = Segments(config.paths.wal / "restored", base["segment_size"], owner_of(config))
        self._objects = config.paths.wal / "objects"
        ours(self._objects)
        self._stopping, self._awake = threading.Event(), threading.Event()
        self._legs = self._where()
        self._incoming = self._begin(self._legs.pop(0))
        self._noted = 0
        self._looked = 0.0
        self._stopped: str | None = None
        self._onward: Config | None = None
        self._ended = False
        self._starting: subprocess.Popen[bytes] | None = None
        spacing = config.spacing_ms / 1000
        self._readers = [
            Reader(v, lambda: self._incoming, self._objects, spacing, config.key()) for v in self._vaults.values()
        ]
        query = config.media_query
        self._pictures = None if query is None else Pictures(config, query, self._vaults, self._stopping)
        self._entries = Entries(config, self._vaults, lambda: self._incoming.leg.record.number, self._stopping)
        self._prune = StandbyPrune(
            config,
            self._vaults,
            self._forward.known,
            self._segments.size,
            lambda: (self._incoming.leg.record, place(state(config))),
            self._stopping,
        )
        self._report = StandbyReport(config, base, self._readers, self._pictures, self._entries, self._prune)

    def run(self) -> Config | None:
        """Follow until told to stop, or how to go on without vaults that nothing is wanted from; Refused once this very site may write."""
        self._leave_behind(self._incoming.leg.record)
        self._note(self._incoming.position)
        standby.prepare(self._config, self._segments)
        for thread in (*self._readers, self._entries, self._prune, *([self._pictures] if self._pictures else [])):
            thread.start()
        try:
            while not self._stopping.is_set():
                self._awake.wait(LOOK)
                self._awake.clear()
                try:
                    self._step()
                except OSError as error:
                    self._wait_for_room(error)
        finally:
            self._end()
        self._note(self._incoming.position)
        if self._ended or self._onward is None:
            return None
        for vault in self._vaults.values():  # what is tried again would still call one that is out of the set
            vault.close()
        return self._onward

    def _step(self) -> None:
        """Deliver what there is, and look around now and then; what a full disk cuts short is done again by the next."""
        if self._deliver():
            standby.poke(self._config)
            self._report.write(self._incoming)
        if time.monotonic() >= self._looked + LOOK:
            self._look()
            self._looked = time.monotonic()

    def _wait_for_room(self, error: OSError) -> None:
        """Say that the disk is full; whatever else it is ends follow."""
        if error.errno not in disk.FULL:
            raise error
        full = disk.full(Path(error.filename or self._config.paths.wal), then=disk.GOES_ON)
        if self._report.full is None:
            log.error("the disk is full", what=full.what, next=full.next)
        self._report.full = f"{full.what} {full.why} {full.next}"
        self._report.write(self._incoming)

    def end(self) -> None:
        """End, and go on with nothing."""
        self._ended = True
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        self._awake.set()
        for reader in self._readers:
            reader.stop()

    def _where(self) -> list[Leg]:
        """The legs to follow: from where an earlier run got, else from the snapshot."""
        noted = state(self._config)
        if noted is not None and noted["epoch"] in self._forward.known:
            position = lsn.parse(noted["position"])
            return [leg for leg in self._forward.leg(noted["epoch"], position) if leg.record.number == noted["epoch"]]
        position = lsn.segment_start(lsn.parse(self._base["start_lsn"]), self._segments.size)
        return self._forward.leg(self._base["from_epoch"], position)

    def _begin(self, leg: Leg) -> Incoming:
        log.info("following", epoch=leg.record.number, site=leg.record.site, position=lsn.show(leg.position))
        incoming = Incoming(leg, leg.position, self._awake.set)
        if leg.limit is not None:
            incoming.cut(leg.limit)
        return incoming

    def _deliver(self) -> bool:
        """Write what may be delivered where Postgres finds it; whether there was any."""
        incoming = self._incoming
        headers: list[Header] = []
        for header in incoming.deliverable():
            try:
                self._write(incoming, header)
            except BrokenChain as error:
                incoming.refuse(header.start, f"{error.what}. {error.next}")
                break
            incoming.delivered(header)
            self._report.delivered(header)
            headers.append(header)
        if headers and incoming.position // self._segments.size != self._noted // self._segments.size:
            self._note(incoming.position)
        frontier = incoming.frontier
        for reader in self._readers:
            if reader.position < frontier:
                reader.nudge()
        return bool(headers)

    def _write(self, incoming: Incoming, header: Header) -> None:
        chains.one_system([header], self._base["system_id"])
        body = chunk.split(object_path(self._objects, header).read_bytes())[1]
        wal = chunk.open_body(header, body, self._config.key())
        before = self._segments.read(header.timeline, header.start, min(incoming.position, header.end))
        if header.start < incoming.position and before.strip(b"\0") and wal[: len(before)] != before:
            raise BrokenChain(
                f"one history: the chunk at {lsn.show(header.start)} differs from what was there before it, so one of both",
                lsn.show(header.start),
                "The primary was rolled back while it shipped. Look at it before anything is promoted.",
            )
        self._segments.write(header.timeline, header.start, wal[: incoming.end_of(header) - header.start])

    def _note(self, position: int) -> None:
        """Remember, durably, how far we got: once a segment, so that an idle standby writes nothing."""
        leg, timeline = self._incoming.leg, self._incoming.leg.start.timeline
        self._segments.flush(timeline, max(self._noted, leg.position), position)
        where = {"from": lsn.show(leg.start.start), "position": lsn.show(position), "timeline": timeline}
        value = {"epoch": leg.record.number, **where}
        write_atomic(self._config.paths.wal / STATE, json.dumps(value).encode())
        self._noted = position

    def _look(self) -> None:
        """Go on across a switch, keep Postgres running, say how things are."""
        try:
            self._cross()
            self._report.next_epoch_error = None
        except Refused:
            raise
        except ResilienceError as error:
            log.warning("cannot look for a newer epoch", what=error.what, why=error.why)
            self._report.next_epoch_error = f"{error.what}. {error.next}"
        self._tell_stopped()
        self._keep_running()
        self._report.full = None
        self._report.write(self._incoming)

    def _tell_stopped(self) -> None:
        why = self._incoming.stopped
        if why is not None and why != self._stopped:
            log.error("nothing is delivered any more", why=why, position=lsn.show(self._incoming.position))
        self._stopped = why

    def _cross(self) -> None:
        """Where another epoch was opened: take this leg to its end, then go on with the next."""
        leg = self._incoming.leg
        if self._legs:
            following_leg: Leg | None = self._legs[0]
        else:
            self._forward.look()
            if self._forward.newest.number == leg.record.number:
                return
            cut, following_leg = self._forward.after(leg)
            if cut is not None:
                self._incoming.cut(cut)
        if following_leg is not None and following_leg.record.site == self._config.site:
            raise Refused(
                f"Epoch {following_leg.record.number} lets this very site write.",
                "Somebody else wrote under it, or this host was promoted and rolled back.",
                "Look at `resilience status` before anything is started here.",
            )
        limit = self._incoming.limit
        if limit is not None and self._incoming.position > limit:
            self._anew(limit)
            return
        if following_leg is None or not self._incoming.done:
            return
        self._switch(leg, following_leg)

    def _switch(self, leg: Leg, next_leg: Leg) -> None:
        """Nothing of it is remembered before all is on the disk, so that what a full one cuts short may be done again."""
        position, branches = self._incoming.position, next_leg.start.timeline > leg.start.timeline
        if branches and self._segments.go_past(leg.start.timeline, position):
            self._anew(position)
        for path in self._objects.glob(f"{leg.record.number:08d}-*"):
            if int(path.name.split("-")[2], 16) > position:
                path.unlink(missing_ok=True)
        self._note(position)  # nobody writes it again once the next leg is noted
        if branches:
            start = next_leg.start
            self._segments.branch(start.timeline, leg.start.timeline, start.start, start.history)
        if self._legs:
            self._legs.pop(0)
        self._incoming = self._begin(next_leg)
        self._leave_behind(next_leg.record)
        self._noted = 0
        self._note(next_leg.position)
        standby.poke(self._config)

    def _leave_behind(self, record: EpochRecord) -> None:
        """All before this epoch is here, so nothing is wanted any more from vaults that are not in its set: they may be lost."""
        left = tuple(vault for vault in self._config.vaults if vault.name in record.vaults)
        if left and not self._legs and len(left) < len(self._config.vaults):
            log.info("following fewer vaults", epoch=record.number, vaults=[vault.name for vault in left])
            self._onward = self._config.model_copy(update={"vaults": left})
            self._end()

    def _anew(self, limit: int) -> None:
        """This copy holds WAL that was cut off: it can't go on, and is made anew."""
        log.error("past the end of its leg", position=lsn.show(self._incoming.position), end=lsn.show(limit))
        subprocess.run(self._config.postgres.stop, check=False, capture_output=True)
        afresh(self._config, CLONING)
        empty(self._config.paths.wal)
        raise Refused(
            f"This standby held WAL past {lsn.show(limit)}, where a later epoch cut its history.",
            "What lies past the cut was acknowledged to nobody; a copy that replayed it cannot go on.",
            "It is started again from a snapshot.",
        )

    def _keep_running(self) -> None:
        """Start Postgres where it does not run; it may take long to let anybody in."""
        if standby.alive(self._config):
            standby.raise_settings(self._config, self._segments)
            return
        if self._starting is None or self._starting.poll() is not None:
            standby.prepare(self._config, self._segments)
            self._starting = standby.begin(self._config.postgres.start)


def state(config: Config) -> dict[str, Any] | None:
    """How far a standby's WAL reaches at least; None where nothing followed here."""
    try:
        value: dict[str, Any] = json.loads((config.paths.wal / STATE).read_text())
    except (OSError, ValueError):
        return None
    return value


class TooFar(ResilienceError):
    """A standby may have replayed what is no part of the history."""


def place(reached: Mapping[str, Any] | None) -> Place:
    """Up to where it is."""
    return Place() if reached is None else Place(int(reached["epoch"]), lsn.parse(reached["position"]))


def refuse_astray(reached: Mapping[str, Any], legs: Sequence[Leg]) -> None:
    """TooFar when this host followed an epoch that is none of this history."""
    if reached["epoch"] not in {leg.record.number for leg in legs}:
        raise TooFar(
            f"This standby followed epoch {reached['epoch']}.",
            "A later one goes on from an older, or its snapshot does.",
            "It is made anew from a snapshot.",
        )


def refuse_too_far(gathered: Gathered, chain: Chain) -> None:
    """TooFar when this host read a chunk past where its leg was cut: it may have been replayed."""
    furthest = gathered.furthest_here
    if furthest > chain.end:
        raise TooFar(
            f"This standby read up to {lsn.show(furthest)}, past the end at {lsn.show(chain.end)}.",
            "A later epoch cut the history there.",
            "It is made anew from a snapshot.",
        )


def main(config: Config) -> dict[str, Any]:
    """Follow until told to stop."""
    config.key()
    onward: Config | None = config
    with standby.only_follower(config):
        while onward is not None:
            follower = Follower(onward)
            _at_the_end(follower.end)
            onward = follower.run()
            _at_the_end(lambda: os._exit(0))  # nothing that could be left half done is at work until the next one is
    return {"stopped": True}


def _at_the_end(act: Callable[[], None]) -> None:
    """What is done when somebody ends this process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: act())
