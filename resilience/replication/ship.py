"""ship: streams WAL, pictures and the ledger from the primary into every vault.

The main loop reads from Postgres and writes the spool; couriers put; the lease stops it all.
"""

from __future__ import annotations

import hashlib
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from resilience.errors import Refused, ResilienceError, UsageError
from resilience.replication import chunk, control, lapse, lsn, seals, tenure, turn
from resilience.replication.base import refuse_another
from resilience.replication.batch import Batch, Told
from resilience.replication.config import Config
from resilience.replication.courier import Courier, start_record, switch_point
from resilience.replication.lease import Lease, now, watches
from resilience.replication.limits import Limits
from resilience.replication.outbox import Outbox
from resilience.replication.pace import Pace
from resilience.replication.promotion import await_promotion
from resilience.replication.quorum import held_by
from resilience.replication.report import OFTEN, Report
from resilience.replication.spool import Spool
from resilience.replication.stream import Stream, StreamLost, System

CHUNK_LIMIT = 4 << 20
HEARTBEAT = 1.0
RECONNECT = 0.5
SIP = 0.05
"""While a chunk fills, Postgres' messages gather for so long: each by itself costs more to send and to read than what is in it.
Where they fill the connection before, Postgres sends fewer and larger ones."""
MUCH = 64 << 10
"""So much at once means that Postgres may be waiting for room: then it is read as it comes."""
POLL = 0.05
QUIET = 0.5
"""No more WAL for so long from a Postgres that is gone without a word: it has sent the last of it."""
PATIENCE = 2.0
"""A fast shutdown lets nobody in at once; when it did not by then, Postgres is killed."""
log = structlog.get_logger()


@dataclass(frozen=True)
class Onward:
    """How the same host goes on under an epoch with another vault set."""

    config: Config
    since: Mapping[str, float] | None
    """When each vault was last asked and showed no other site's epoch: the lease is not renewed by turning."""


class Ship:
    """One primary's ship under one epoch."""

    def __init__(self, config: Config, since: Mapping[str, float] | None = None) -> None:
        self._config = config
        self._record = config.record
        self._sign = config.sign()
        self._seconds = config.lease_s if config.leased else None
        self._vaults = config.open(self._record.vaults)
        if absent := set(self._record.vaults) - set(self._vaults):
            raise UsageError(
                f"Vaults of epoch {self._record.number} are not configured: {', '.join(sorted(absent))}.",
                "ship must reach every vault of its epoch.",
                "Add them under vaults.",
            )
        self._spool = Spool(config.paths.spool, self._record.number, self._record.vaults)
        self._spool.live()
        self._lease = Lease(
            self._record, config.verify, self._seconds, since, tenure.place(config), self._spool.emptied_notes
        )
        self._stopping = threading.Event()
        self._turning: turn.Turning | None = None
        self._onward: Onward | None = None
        self._lost: str | None = None
        self._crash: BaseException | None = None
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._couriers = [
            Courier(vault, self._spool, self._record, self._lease, self._moved) for vault in self._vaults.values()
        ]
        self._outbox = Outbox(config, self._vaults, self._lease)
        self._limits = Limits(config, self._spool, self._outbox, self._lease, self._stopping, self._nudge)
        self._report = Report(config, self._spool, self._couriers, self._outbox, self._lease, self._limits)
        self._system: System | None = None
        last = self._spool.last()
        made = None if last is None else chunk.decode(last, self._record, known=True)
        self._before = made[0].sha256 if made else ""

    def run(self) -> Onward | None:
        """Ship until told to stop, or how to go on with another vault set; Refused once this site may no longer write."""
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGINT, lambda *_: self._end())
        guard = threading.Thread(target=self._guard, name="guard", daemon=True)
        watched = watches(self._vaults, self._lease, self._config.lease_s / 3, self._stopping)
        threading.excepthook = self._crashed
        for watch in watched:
            watch.start()
        self._await_answers()
        for thread in (guard, *self._couriers, self._limits):
            thread.start()
        self._outbox.start()
        try:
            lapse.go_on(self._config, self._lease, self._stopping)
            while not self._stopping.is_set() and not self._closed():
                if self._lost is None:
                    lapse.refuse_lapsed(self._config)
                self._connected()
        finally:
            self._end()
            if self._turning is not None:
                self._turning.end()
            self._outbox.stop()
            for courier in self._couriers:
                courier.stop()
        if self._onward is not None:
            self._leave()
        if self._crash is not None:
            raise ResilienceError(
                "ship crashed", repr(self._crash), "It is started again; report this."
            ) from self._crash
        if self._lost is not None:
            guard.join()
            raise Refused(
                f"{self._config.site} stopped writing: {self._lost}.",
                "Only one site may write; this one could no longer be sure that it is the one.",
                "Look at `resilience status`. What this site shipped before the seal is in the chain.",
            )
        return self._onward

    def _await_answers(self) -> None:
        """Where a lease lapsed, and writes were stopped: wait until enough vaults show no newer epoch, or one shows it."""
        if lapse.noted(self._config):
            log.warning("waiting for vaults before anybody may write again")
        while lapse.noted(self._config) and not self._lease.stands() and self._lease.superseded is None:
            left = tenure.left(self._config, now())
            if left is not None and left <= 0 and control.accepts(self._config.postgres.dsn):
                log.error("Postgres runs without a lease: who started it again did not live to see it")
                fence(self._config)
                kill(self._config)
            if self._stopping.wait(POLL):
                return

    def _closed(self) -> bool:
        """Whether this epoch is closed where the spool ends, for the one that follows: as soon as that is safe, and never once superseded."""
        if self._onward is not None:
            return True
        record = self._lease.following
        if record is None or self._lease.superseded is not None:
            return False
        if self._turning is None:
            self._turning = turn.Turning(self._config, record, self._spool, self._couriers, self._outbox)
        told, closes = self._turning.obstacle, self._turning.may_close()
        self._report.turning = self._turning.obstacle
        if closes:
            log.info("the vault set changes", epoch=record.number, position=lsn.show(self._spool.end))
            onward = turn.close(self._config, self._turning.record, self._spool.end)
            self._onward = Onward(onward, self._lease.since())
        elif self._turning.obstacle != told and not self._turning.still:
            log.warning("the vault set cannot change yet", epoch=record.number, why=self._turning.obstacle)
        return closes

    def _still(self) -> bool:
        """Whether WAL stays in Postgres until vaults have what there is: not for whoever must hand over what there is."""
        return self._turning is not None and self._turning.still and self._lease.superseded is None

    def _leave(self) -> None:
        """Call no vault for this epoch any more, also not by a request that is still tried again: one may be out of the set."""
        for vault in self._vaults.values():
            vault.close()

    def _crashed(self, args: threading.ExceptHookArgs) -> None:
        """A thread ended by a fault in the program: end all, say so, and be started again."""
        log.error("a thread crashed", thread=args.thread.name if args.thread else "", why=repr(args.exc_value))
        self._crash = args.exc_value
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        self._moved()

    def _moved(self) -> None:
        """Wake the main loop."""
        with suppress(BlockingIOError, OSError):
            self._wake.send(b".")

    def _guard(self) -> None:
        """Wait for the lease to be lost; let nobody write any more, hand over what was written, end."""
        self._lost = self._lease.wait_until_lost(self._stopping)
        if self._lost is None:
            return
        log.error("this site may no longer write", why=self._lost)
        superseded = self._lease.superseded is not None
        noted = superseded or lapse.note(self._config)
        fence(self._config)
        if superseded:
            self._hand_over()
        while not noted and not self._stopping.wait(lapse.PAUSE):
            noted = lapse.note(self._config)
        self._end()
        kill(self._config)

    def _hand_over(self) -> None:
        """Put what Postgres still sends while it shuts down, and pictures of rows in it, so that the new site finds all of it.

        For one lease at most: the new site reads the chain no earlier than a lease after the seal. Until then a shutdown that
        takes long is not cut short: a Postgres that was killed never says where its WAL ends, which a switchover asks.
        """
        until = time.monotonic() + self._config.lease_s
        seen, since, whole = -1, time.monotonic(), False
        while (now := time.monotonic()) < until:
            if self._spool.end != seen:
                seen, since = self._spool.end, now
            elif held_by(self._record.k, (c.put_upto for c in self._couriers)) >= seen:
                last = control.ended(self._config)
                whole = last is not None and seen > last
                ended = whole or (now - since > QUIET and control.is_gone(self._config.postgres.dsn))
                if ended and self._outbox.held_by(self._record.k):
                    break
            self._stopping.wait(POLL)
        log.info("handed over", position=lsn.show(self._spool.end), whole=whole)

    def _connected(self) -> None:
        """One connection's life: stream until it is lost, then pause and let the caller try again."""
        try:
            stream = Stream(self._config.postgres.dsn)
        except ResilienceError as error:
            self._pause(error)
            return
        try:
            self._system = stream.identify()
            position = self._position(stream, self._system)
            stream.start(position, self._system.timeline)
            log.info("streaming", position=lsn.show(position), timeline=self._system.timeline)
            self._pump(stream)
        except ResilienceError as error:
            self._pause(error)
        except OSError as error:
            self._pause(
                ResilienceError("The spool cannot be written", str(error), "Make room; ship goes on by itself.")
            )
        finally:
            stream.close()

    def _pause(self, error: ResilienceError) -> None:
        if not self._stopping.is_set():
            self._report.postgres_error = f"{error.what}: {error.why}"
            log.warning("no stream from Postgres", what=error.what, why=error.why)
            self._report.write(at_once=True)
            self._stopping.wait(RECONNECT)

    def _position(self, stream: Stream, system: System) -> int:
        """Where to go on: the spool's end, or where this epoch's WAL begins."""
        if stream.stands_by():
            raise ResilienceError("Postgres is a copy that stands by", "It was not promoted.", "Ship waits for that.")
        data = self._spool.start_record
        begun = None if data is None else chunk.decode_start(data, self._record)
        if data is not None and begun is None:
            raise Refused(
                f"The spool for epoch {self._record.number} was begun under another epoch of this number.",
                "Its start record is not signed for this epoch's nonce.",
                f"Move {self._config.paths.spool} away; a new epoch must be sealed for this site.",
            )
        reserved = stream.reserved()
        if reserved is None:
            log.error("there is no slot, or it kept no WAL; it is made, and holds from now on")
            stream.make_slot()
            reserved = stream.reserved() or system.flushed
        reserved = lsn.segment_start(reserved, stream.segment_size())
        if begun is None:
            begun = self._first(stream, system, reserved)
            before = self._config.before
            if before is not None and (gap := turn.gap(turn.begun(before))) is not None:
                self._spool.carry(gap)
            self._spool.begin(chunk.encode_start(begun, self._sign), self._opening(begun))
        if begun.system_id != system.system_id or begun.timeline != system.timeline:
            raise Refused(
                f"Postgres is system {system.system_id} on timeline {system.timeline}.",
                f"Epoch {self._record.number} began on system {begun.system_id}, timeline {begun.timeline}.",
                "This is not the database the epoch was sealed for; restore the right one.",
            )
        self._spool.floor(begun.start)
        if reserved > self._spool.end:
            log.error("WAL is lost", since=lsn.show(self._spool.end), until=lsn.show(reserved))
            self._spool.skip(reserved)
        self._nudge()
        return self._spool.end

    def _first(self, stream: Stream, system: System, reserved: int) -> chunk.Start:
        """This epoch's first position: the switch point, or where the slot began on timeline 1."""
        history = stream.history(system.timeline)
        before = self._config.before
        start = turn.closed(before) if before else None
        if start is None:  # else this very host closed the epoch before, and goes on
            refuse_another(self._config)
            start = switch_point(history) if history else reserved
        return start_record(self._record, start, system.timeline, system.system_id, history)

    def _opening(self, begun: chunk.Start) -> bytes | None:
        """Where the epoch before was closed, for readers; a restore has put one where there was a restore."""
        before = self._config.before
        if before is None:
            return None
        opening = chunk.Opening(
            epoch=begun.epoch,
            nonce=begun.nonce,
            parent=turn.begun(before).record.number,
            end=begun.start,
            confirmed=begun.start,
            timeline=begun.timeline,
            system_id=begun.system_id,
            at=begun.at,
        )
        return chunk.encode_opening(opening, self._sign)

    def _nudge(self) -> None:
        """There may be something for the vaults."""
        for courier in self._couriers:
            courier.nudge()

    def _pump(self, stream: Stream) -> None:
        """Receive, batch, spool, confirm."""
        batch = Batch()
        self._report.postgres_error = None
        try:
            self._receive(stream, batch)
        except StreamLost:
            if batch.parts and self._onward is None:  # where Postgres is gone for good nobody else has this
                self._keep(batch)
            raise

    def _receive(self, stream: Stream, batch: Batch) -> None:
        """Take what comes and cut it into chunks, until told to stop; what is not in one yet is in `batch`."""
        much, full, told = False, False, Told()
        pace = Pace(self._config.spacing_ms / 1000)
        while not self._stopping.is_set() and not self._closed():
            still = self._still()
            due = pace.due() if batch.parts and not still else told.at + HEARTBEAT
            if self._turning is not None:
                due = min(due, time.monotonic() + turn.POLL)
            if told.held != self._spool.held():  # whoever drains this site waits for the slowest vault to be told of
                due = min(due, time.monotonic() + OFTEN)
            if still or not full:  # else more was read off the connection than it was asked for
                self._rest(stream, due - time.monotonic(), sip=still or (bool(batch.parts) and not much))
            much = not still and self._drain(stream, batch) >= MUCH
            self._limits.hear(stream.server_end, stream.heard_at)
            full = batch.size >= CHUNK_LIMIT
            self._tell(stream, told)  # before the next chunk is made durable: commits wait for this
            now = time.monotonic()
            pace.hear(now, held=self._spool.confirmed(self._record.k) >= self._spool.end)
            if batch.parts and not still and (full or now >= pace.due()):
                self._keep(batch)
                batch.clear()
                pace.cut(now)

    def _rest(self, stream: Stream, seconds: float, *, sip: bool) -> None:
        """Until a vault has moved, there is WAL (or a sip of it has gathered), or the time is up."""
        watched = [self._woken.fileno()] if sip else [stream.fileno(), self._woken.fileno()]
        select.select(watched, [], [], max(0.0, min(seconds, SIP) if sip else seconds))
        with suppress(BlockingIOError):
            self._woken.recv(4096)

    def _tell(self, stream: Stream, told: Told) -> None:
        """Confirm to Postgres what is new, when it asks, and once a heartbeat."""
        confirmed, now = self._confirmed(), time.monotonic()
        if confirmed != told.position or stream.reply_requested or now >= told.at + HEARTBEAT:
            if self._lease.superseded is None:
                stream.confirm(None if self._spool.gap else confirmed)
            told.position, told.at = confirmed, now
        held = self._spool.held()
        if (held != told.held or now == told.at) and self._report.write():
            told.held = held

    def _confirmed(self) -> int:
        """The position that k vaults hold, each of which showed no newer epoch since this ship started."""
        held = self._spool.held()
        return held_by(self._record.k, (min(c.progress.counted, held[c.vault.name]) for c in self._couriers))

    def _drain(self, stream: Stream, batch: Batch) -> int:
        """Take what has arrived; how much that was."""
        before = batch.size
        while batch.size < CHUNK_LIMIT and (received := stream.receive()) is not None:
            batch.add(received)
        return batch.size - before

    def _keep(self, batch: Batch) -> None:
        """Seal a batch into a chunk and put it into the spool."""
        if self._system is None:
            raise AssertionError
        body = chunk.seal_body(b"".join(batch.parts), self._config.recipients)
        header = chunk.Header(
            epoch=self._record.number,
            nonce=self._record.nonce,
            site=self._config.site,
            timeline=self._system.timeline,
            system_id=self._system.system_id,
            start=batch.start,
            end=batch.end,
            confirmed=self._confirmed(),
            at=batch.sent_at,
            sha256=hashlib.sha256(body).hexdigest(),
            before=self._before,
        )
        self._spool.add(batch.start, batch.end, chunk.encode(header, body, self._sign))
        self._before = header.sha256
        self._nudge()


def fence(config: Config, wait: Callable[[float], None] = time.sleep) -> None:
    """Let nobody write on this host for good: a fast shutdown first, and by force where that takes long.

    The commands are not waited for: a shutdown ends only when ship has taken the last of the WAL.
    """
    began = time.monotonic()
    for argv in config.postgres.fence or [config.postgres.stop]:
        log.error("fencing", command=argv)
        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while control.accepts(config.postgres.dsn):
        if time.monotonic() > began + PATIENCE:
            kill(config)
        wait(POLL)


def kill(config: Config) -> None:
    """End Postgres by force, whatever it still does."""
    for argv in config.postgres.kill:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        log.error("killing", command=argv, status=done.returncode, output=(done.stdout + done.stderr)[-500:])


def main(config: Config) -> dict[str, object]:
    """Run ship until it is told to stop."""
    seals_ready(config)
    config = turn.force(config)
    await_promotion(config.postgres.dsn)
    onward: Onward | None = Onward(config, None)
    while onward is not None:
        onward = Ship(onward.config, onward.since).run()
    return {"stopped": True}


def seals_ready(config: Config) -> None:
    """Fail before anything starts when there is nobody to encrypt to."""
    seals.encrypt(b"", config.recipients)
