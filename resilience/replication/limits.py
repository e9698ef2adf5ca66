"""Limits: what may pile up on the primary for vaults that don't take it, and what happens then.

A vault may be left behind only while k others have no hole and are below the limit: what they lack stays here for them.
Else, or where the operator chose so, writes stop. Both end by themselves: once the vaults have taken half of what had piled up.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from psycopg import Error

from resilience.replication import lsn, read_back, sessions
from resilience.replication.catch_up import filled
from resilience.replication.config import Config
from resilience.replication.lease import Lease, now
from resilience.replication.outbox import Outbox
from resilience.replication.spool import Spool
from resilience.replication.writes import Writes

EVERY = 1.0
SILENT = 5.0
"""Where the stream said nothing for so long, Postgres is asked how far it is."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the fleet file says."""

    bytes: int
    past: Literal["drop", "stop"]
    k: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about what has piled up."""

    leave: tuple[str, ...]
    """Vaults to leave behind."""
    stop: bool
    """Whether nobody may write."""


def decide(
    rules: Rules,
    backlog: Mapping[str, int],
    whole: frozenset[str],
    kept: int,
    *,
    stopped: bool,
    needed: frozenset[str] = frozenset(),
    emptied: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
) -> Decision:
    """Given what each vault lacks in bytes, which vaults have no hole, and what WAL Postgres keeps. Pure.

    While ship waits to go on under another vault set, those that stay in it are `needed`: none is left behind. Those that
    were `emptied` since are left behind whatever the operator chose, for they hold nothing, as long as k others are whole:
    one that keeps of pictures the payload alone (`apart`) has all WAL, and what is gone from these is gone, counted or not.
    """
    limit = rules.bytes // 2 if stopped else rules.bytes
    over = frozenset(name for name, size in backlog.items() if size > limit)
    others = whole - over - emptied
    enough = len(others - apart) >= rules.k
    gone = emptied - needed if len(others) >= rules.k else frozenset()
    if kept > limit:
        return Decision(tuple(sorted(gone)), stop=True)
    if over - gone and not over & needed and rules.past == "drop" and enough:
        return Decision(tuple(sorted(over | gone)), stop=False)
    return Decision(tuple(sorted(gone)), stop=bool(over - gone))


class Limits(threading.Thread):
    """Looks once a second; acts, and says in `alarms` what a person should know."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        outbox: Outbox,
        lease: Lease,
        stopping: threading.Event,
        nudge: Callable[[], None],
    ) -> None:
        super().__init__(name="limits", daemon=True)
        self.alarms: list[str] = []
        self.error: str | None = None
        self.writes = Writes(config.postgres.dsn, config.paths.spool / "writes")
        self.server_end = 0
        """How far Postgres' WAL goes, by what was heard of it last."""
        self._heard_at = 0.0
        self._config = config
        self._rules = Rules(config.backlog_mb << 20, config.past_backlog, config.record.k)
        self._spool = spool
        self._outbox = outbox
        self._lease = lease
        self._stopping = stopping
        self._left = Counter[str]()
        """How often each vault had been found emptied when it was last left behind."""
        self._nudge = nudge
        """Let couriers look again: what was caught up with counts after a look alone."""

    def hear(self, position: int, at: float) -> None:
        """How far the WAL goes, as the stream, or Postgres itself, said at that time."""
        self.server_end = max(position, self.server_end)
        self._heard_at = max(at, self._heard_at)

    @property
    def commits(self) -> str:
        """What a commit counts as that is made now."""
        degraded = self.writes.degraded_since is not None
        return "async" if self._config.durability == "async" or degraded else "quorum"

    def backlog(self, vault: str) -> int:
        """Bytes of this host's disk that wait for one vault."""
        return self._spool.backlog(vault)[1] + self._outbox.backlog(vault)[1]

    def run(self) -> None:
        """Look until told to stop."""
        while not self._stopping.wait(EVERY):
            try:
                self._spool.tidy()
                self._look()
                self.error = None
            except (Error, OSError) as error:
                if self.error is None:
                    log.warning("limits cannot be applied", why=str(error))
                self.error = " ".join(str(error).split())

    def _look(self) -> None:
        if self._lease.superseded is not None:
            return
        if now() > self._heard_at + SILENT:
            self.hear(flushed(self._config.postgres.dsn), now())
        names = self._config.record.vaults
        backlog = {name: self.backlog(name) for name in names}
        whole = frozenset(name for name in names if self._spool.hole(name) is None)
        emptied = self._lease.emptied.names
        new = frozenset(name for name in emptied if self._lease.emptied.times(name) != self._left[name])
        confirmed = self._spool.confirmed(self._rules.k)  # 0 before ship knows where this epoch's WAL begins
        kept = max(0, self.server_end - confirmed) if confirmed else 0
        self._mend()
        following = self._lease.following
        needed = frozenset() if following is None else frozenset(following.vaults)
        stopped = self.writes.stopped_since is not None
        decision = decide(
            self._rules,
            backlog,
            whole - emptied,
            kept,
            stopped=stopped,
            needed=needed,
            emptied=new,
            apart=self._config.apart,
        )
        for name in decision.leave:
            hole = self._spool.leave(name, emptied=name in emptied)
            self._outbox.leave(name, emptied=name in emptied)
            self._left[name] = self._lease.emptied.times(name)
            self._lease.emptied.left(name)
            log.error("a vault is left behind", vault=name, **hole.facts())
        if new:
            self._nudge()
        self.alarms = self._alarms({**backlog, **dict.fromkeys(decision.leave, 0)}, kept)
        self.writes.be(stopped=decision.stop, degraded=self._too_few())

    def _mend(self) -> None:
        """What was told meanwhile: a hole that was filled; a snapshot from past lost WAL that k vaults gave back."""
        caught = filled(self._config)
        if caught is not None and self._spool.mend(*caught):
            self._nudge()
        gap = self._spool.gap
        if gap is not None and read_back.leads_past(self._config, gap.end):
            log.warning("protected again: a snapshot leads past the lost WAL", **gap.facts())
            self._spool.bridge()

    def _too_few(self) -> bool:
        """Whether fewer than k vaults take WAL, where commits then go on without them."""
        if self._config.durability != "quorum" or self._config.too_few_vaults != "degrade":
            return False
        lag = lag_seconds(self._spool, self._rules.k)
        return lag > (1.0 if self.writes.degraded_since is not None else self._config.lease_s)

    @property
    def emptied(self) -> frozenset[str]:
        """Vaults that lost what they held, until they were filled."""
        holes = ((name, self._spool.hole(name)) for name in self._config.record.vaults)
        left = frozenset(name for name, hole in holes if hole is not None and hole.emptied)
        return self._lease.emptied.names | left

    def _told_emptied(self, name: str, *, counts: bool) -> str:
        """What a person should know of a vault that lost what it held."""
        stands = (
            f"it still counts, for fewer than {self._rules.k} others are whole" if counts else "it counts for nothing"
        )
        return (
            f"{name} was emptied, or rolled back: it showed epoch {self._config.record.number} and lost it, and {stands} "
            f"until it is filled: resilience snapshot, then resilience catch-up {name}"
        )

    def _alarms(self, backlog: Mapping[str, int], kept: int) -> list[str]:
        limit = self._rules.bytes
        told = [self._outbox.passed_over] if self._outbox.passed_over else []
        if gap := self._spool.gap:
            told.append(f"unprotected: no vault has the WAL from {gap.facts()['from']} to {gap.facts()['until']}")
        for name, size in backlog.items():
            hole = self._spool.hole(name)
            if name in self.emptied:
                told.append(self._told_emptied(name, counts=hole is None))
            elif hole is not None:
                facts = hole.facts()
                told.append(f"{name} was left behind: it lacks {facts['from']} to {facts['until']}")
            if size > limit // 2:
                told.append(f"{size >> 20} MB of at most {limit >> 20} MB wait for {name}")
        if kept > limit // 2:
            told.append(f"Postgres keeps {kept >> 20} MB of WAL of at most {limit >> 20} MB, until k vaults have it")
        free = disk_free(self._config.paths.spool)
        if free < limit - max(backlog.values()):
            told.append(f"{free >> 20} MB of the disk are free: it would be full before the limit of {limit >> 20} MB")
        return told


def flushed(dsn: str) -> int:
    """How far Postgres' own WAL goes; 0 where it does not answer, or only follows."""
    with suppress(Error), sessions.superuser(dsn, timeout=5) as db:
        found = db.execute("SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END").fetchone()
        return lsn.parse(found[0]) if found and found[0] else 0
    return 0


def lag_seconds(spool: Spool, k: int) -> float:
    """Age of the oldest chunk that k vaults do not hold yet."""
    return sorted(spool.lag(name) for name in spool.held())[k - 1]


def disk_free(folder: Path) -> int:
    """Bytes that may still be written there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
