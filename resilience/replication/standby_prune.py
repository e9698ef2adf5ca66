"""Pruning at a standby: of the chunks that it read, those go that no takeover needs and no vault lacks.

A takeover reads what is kept here from the newest snapshot on; all that begins anew reads vaults alone. So chunks go
that end before a snapshot which k vaults proved to give back, as long as every vault that answers has those which its
own older snapshots need: else this may be the last copy, it stays, and is told. No clock has a say, and nothing is
opened: the operator's signed proofs, names and positions decide. Killed in between, it goes on where it was.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import ResilienceError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import label as labels
from resilience.replication import layout, lsn, proof
from resilience.replication.base import cut_off
from resilience.replication.config import Config
from resilience.replication.objects import Place, Span, is_object

EVERY = 3600.0
"""Seconds between looks."""
BATCH = 50_000
"""Names in memory at once: a busy site's week is three million chunks."""
log = structlog.get_logger()


@dataclass
class Here:
    """The chunks that are kept on this host."""

    chunks: int = 0
    bytes: int = 0
    last: dict[int, int] = field(default_factory=dict)
    """By epoch where its last chunk ends: that one stays, since it tells how far this copy may have gone."""


@dataclass(frozen=True, slots=True)
class Need:
    """A vault, and the position from which its own snapshots need WAL; None where it has none."""

    vault: Vault
    since: int | None

    def lacks(self, epoch: int, spans: Sequence[Span]) -> set[Span]:
        """Which of these chunks, of one neighbourhood, its snapshots need and it does not list."""
        wanted = {span for span in spans if self.since is not None and span.end > self.since}
        if not wanted:
            return wanted
        listed = {layout.chunk_start(key) for key in self.vault.list(layout.chunks_near(epoch, spans[0].start))}
        return {span for span in wanted if span.start not in listed}


class StandbyPrune(threading.Thread):
    """Looks once an hour for what may go."""

    def __init__(
        self,
        config: Config,
        vaults: Mapping[str, Vault],
        known: Mapping[int, EpochRecord],
        segment_size: int,
        where: Callable[[], tuple[EpochRecord, Place]],
        stopping: threading.Event,
    ) -> None:
        super().__init__(name="standby-prune", daemon=True)
        self.facts: dict[str, Any] | None = None
        """What `status` says of it; None before the first look."""
        self._config = config
        self._vaults = vaults
        self._folder = config.paths.wal / "objects"
        self._segment_size = segment_size
        self._known = known
        self._where = where
        self._stopping = stopping

    def run(self) -> None:
        """Look until told to stop."""
        while True:
            try:
                self.look()
            except Exception as error:
                known = isinstance(error, ResilienceError | OSError)
                log.warning("pruning failed", why=str(error), exc_info=None if known else error)
                self.facts = {**(self.facts or {}), "error": f"{type(error).__name__}: {error}"}
            if self._stopping.wait(EVERY):
                return

    def look(self) -> None:
        """Count what is kept; remove what may go."""
        here, (record, reached), lacked = _count(self._folder), self._where(), Counter[str]()
        self._tell(here, None, lacked)
        names = _labelled({name: vault for name, vault in self._vaults.items() if name in record.vaults})
        floor = self._floor(names, record)
        if floor is None:
            return
        needs = {name: self._need(vault_labels, self._vaults[name]) for name, vault_labels in names.items()}
        before = here.chunks

        def may_go(span: Span) -> bool:
            done = Place(span.epoch, span.end) <= reached
            return done and span.end <= floor and span.end < here.last.get(span.epoch, 0)

        for batch in _batches(self._folder, may_go):
            for (epoch, _), near in groupby(batch, key=lambda name: _neighbourhood(Span.of(name))):
                if self._stopping.is_set():
                    return
                self._remove(epoch, list(near), needs, here, lacked)
        self._tell(here, floor, lacked)
        log.info("pruned", chunks=before - here.chunks, before=lsn.show(floor), kept=here.chunks)

    def _tell(self, here: Here, floor: int | None, lacked: Mapping[str, int]) -> None:
        position = None if floor is None else lsn.show(floor)
        self.facts = {"chunks": here.chunks, "bytes": here.bytes, "needed_from": position, "lacked": dict(lacked)}

    def _floor(self, names: Mapping[str, Mapping[str, int]], record: EpochRecord) -> int | None:
        """Before which nothing is needed: k vaults each proved a snapshot from there on, and a takeover begins there or later.

        None where fewer did. One snapshot has one label: of several the oldest counts, so that a thief at the site can
        make this copy keep more, never less.
        """
        vaults = {name: self._vaults[name] for name in names}
        proven = proof.proven(vaults, self._config.verify)
        if len({vault for vault, _ in proven} & vaults.keys()) < record.k:
            return None
        good: set[str] = set()
        floor: int | None = None
        for group in labels.find(vaults, known := dict(self._known), self._config.verify):
            mine = {
                found.vault
                for found in group
                if (found.vault, found.snapshot) in proven and names[found.vault].get(found.snapshot) == found.start
            } - good
            if (floor is not None and not mine) or cut_off(vaults, known, group[0]):
                continue
            begins = lsn.segment_start(group[0].start, self._segment_size)
            good, floor = good | mine, begins if floor is None else min(floor, begins)
            if len(good) >= record.k:
                return floor
        return None

    def _need(self, starts: Mapping[str, int], vault: Vault) -> Need:
        since = min(starts.values(), default=None)
        return Need(vault, None if since is None else lsn.segment_start(since, self._segment_size))

    def _remove(
        self, epoch: int, near: Sequence[str], needs: Mapping[str, Need], here: Here, lacked: Counter[str]
    ) -> None:
        """Remove chunks of one neighbourhood, but for those that a vault needs and lacks."""
        spans = [Span.of(name) for name in near]
        without = {name: need.lacks(epoch, spans) for name, need in needs.items()}
        for vault, missing in without.items():
            if missing:
                lacked[vault] += len(missing)
                first = lsn.show(min(missing).start)
                log.error("a vault lacks WAL of its own snapshots", vault=vault, chunks=len(missing), first=first)
        stays = set().union(*without.values())
        for name, span in zip(near, spans, strict=True):
            if span not in stays and not self._stopping.is_set():
                path = self._folder / name
                size = path.stat().st_size
                path.unlink()
                here.chunks, here.bytes = here.chunks - 1, here.bytes - size


def _labelled(vaults: Mapping[str, Vault]) -> dict[str, dict[str, int]]:
    """By vault that answers, its snapshots by the names of their labels, and where the WAL of each begins."""
    found: dict[str, dict[str, int]] = {}
    for name, vault in vaults.items():
        try:
            told = [pair for key in vault.list(layout.LABEL) if (pair := layout.labelled(key)) is not None]
        except ResilienceError as error:
            log.warning("a vault is not asked what it needs", vault=name, why=error.why)
            continue
        found[name] = {}
        for snapshot, start in told:
            found[name][snapshot] = min(start, found[name].get(snapshot, start))
    return found


def _neighbourhood(span: Span) -> tuple[int, int]:
    return span.epoch, span.start // layout.NEAR


def _names(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Chunks that are whole; what is still being written has another name."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if is_object(entry.name))


def _count(folder: Path) -> Here:
    here = Here()
    for entry in _names(folder):
        span = Span.of(entry.name)
        here.chunks += 1
        here.bytes += entry.stat().st_size
        here.last[span.epoch] = max(span.end, here.last.get(span.epoch, 0))
    return here


def _batches(folder: Path, may_go: Callable[[Span], bool]) -> Iterator[list[str]]:
    """Names of what may go, the oldest first."""
    after = ""
    while True:
        later = (entry.name for entry in _names(folder) if entry.name > after)
        batch = heapq.nsmallest(BATCH, (name for name in later if may_go(Span.of(name))))
        if not batch:
            return
        yield batch
        after = batch[-1]
