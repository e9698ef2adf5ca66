"""The spool: chunks on this host's disk, written once, until every vault has them.

    spool/<epoch>/wal/<start>-<end>    the chunk's object, byte for byte as it is put
    spool/<epoch>/start                the start record, likewise
    spool/<epoch>/at/<vault>           position up to which that vault was given everything
    spool/<epoch>/hole/<vault>         what a vault that was left behind lacks before that
    spool/<epoch>/emptied/<vault>      it was emptied, and is not left behind yet (`emptied`)
    spool/<epoch>/life                 how often a ship began here; told to each vault
    spool/<epoch>/gap                  WAL that is lost: thrown away before it was shipped, or gone with the vaults that had it
    spool/<epoch>/bridged              what was lost before, and a snapshot leads past

A vault's position may be lost (it is noted once a second, not fsynced): the same bytes are then put again,
and the vault answers that they are there. A chunk's file is durable before any vault sees it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from resilience.errors import Refused
from resilience.replication import lsn
from resilience.replication.config import sync
from resilience.replication.lease import now
from resilience.replication.quorum import held_by

BLOCK = 4096
"""A file takes whole blocks of the disk."""
SPARES, SPARE_SIZE = 128, 64 << 10
"""So many files that are needed no more, each so large at most, are written over: to make one and to remove one is a sixth of a small chunk's CPU."""


class Kept(NamedTuple):
    """A chunk in the spool; `since` when it was made, on the lease's clock."""

    start: int
    end: int
    size: int
    since: float


@dataclass(frozen=True, slots=True)
class Hole:
    """WAL from `start` up to `end` that is not where it should be, since `since`."""

    start: int
    end: int
    since: float
    emptied: bool = False
    """Of a vault that lost what it held: it lacks all that was before as well."""

    def encode(self) -> bytes:
        """As its file."""
        return json.dumps(self.facts()).encode()

    def facts(self) -> dict[str, Any]:
        """As `status` tells it."""
        told = {"from": lsn.show(self.start), "until": lsn.show(self.end), "since": self.since}
        return {**told, **({"emptied": True} if self.emptied else {})}

    @staticmethod
    def read(path: Path) -> Hole | None:
        """What the file says; None while there is none."""
        if not path.exists():
            return None
        return Hole.told(json.loads(path.read_text()))

    @staticmethod
    def told(facts: Mapping[str, Any]) -> Hole:
        """As `facts` says it."""
        begin, end = lsn.parse(facts["from"]), lsn.parse(facts["until"])
        return Hole(begin, end, facts.get("since", 0.0), facts.get("emptied", False))

    def without(self, lost: Iterable[Hole]) -> list[Hole]:
        """What is left of it to be given where nobody has these parts, in order; it may be nothing."""
        found, start = list[Hole](), self.start
        for part in sorted(lost, key=lambda part: part.start):
            if part.start < self.end and start < part.end:
                found += [replace(self, start=start, end=part.start)] if start < part.start else []
                start = part.end
        return [*found, *([replace(self, start=start)] if start < self.end else [])]


class Spool:
    """Chunks of one epoch that some vault may still lack."""

    def __init__(self, folder: Path, epoch: int, vaults: Iterable[str]) -> None:
        self._folder = folder / f"{epoch:08d}"
        self._wal = self._folder / "wal"
        self._at_notes = self._folder / "at"
        self._hole_notes = self._folder / "hole"
        self.emptied_notes = self._folder / "emptied"
        for part in (self._wal, self._at_notes, self._hole_notes):
            part.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        for half_written in self._wal.glob("*.new"):
            half_written.unlink()
        self._chunks = [_kept(path) for path in sorted(self._wal.iterdir())]
        self._newest: tuple[int, int, bytes] | None = None
        self._spare = list[Path]()
        self._holes = {vault: Hole.read(self._hole_notes / vault) for vault in vaults}
        self._left = {vault: _on_our_clock(hole.since) for vault, hole in self._holes.items() if hole is not None}
        self._at = {vault: self._read_position(vault) for vault in self._holes}
        self._mended: dict[str, Hole] = {}
        self._noted: dict[str, int] = {}
        self._gap = Hole.read(self._folder / "gap")
        bridged = self._folder / "bridged"
        self._bridged = [Hole.told(facts) for facts in json.loads(bridged.read_text())] if bridged.exists() else []
        self._floor = 0
        self.life, self.life_record = 0, b""

    def live(self) -> None:
        """Another ship begins here: count it, durably, before any vault hears of it."""
        self._alone()
        path = self._folder / "life"
        self.life = int(path.read_text()) + 1 if path.exists() else 1
        write_durably(path, str(self.life).encode())
        self.life_record = json.dumps({"life": self.life, "token": secrets.token_hex(16)}).encode()

    def _alone(self) -> None:
        """Keep other ships out of this spool until this process ends."""
        self._held_open = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held_open, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                "Another ship is at work on this spool.",
                f"It holds {self._folder / 'lock'}.",
                "Let it work: `systemctl status resilience-ship`.",
            ) from error

    @property
    def start_record(self) -> bytes | None:
        """The start record that this spool began with; None when nothing was shipped from here."""
        path = self._folder / "start"
        return path.read_bytes() if path.exists() else None

    @property
    def opening_record(self) -> bytes | None:
        """The opening record, where this epoch only changes the vault set of the one before."""
        path = self._folder / "opening"
        return path.read_bytes() if path.exists() else None

    def begin(self, record: bytes, opening: bytes | None = None) -> None:
        """Keep the start record (and the opening record before it), durably, before anything is put."""
        if opening is not None:
            write_durably(self._folder / "opening", opening)
        write_durably(self._folder / "start", record)

    def floor(self, position: int) -> None:
        """Nothing before `position`, where the epoch's WAL begins, is owed to any vault."""
        with self._lock:
            self._floor = position
            self._at = {vault: max(at, position) for vault, at in self._at.items()}

    @property
    def end(self) -> int:
        """Where the next chunk begins."""
        with self._lock:
            return max(self._kept_until(), self._gap.end if self._gap else 0)

    @property
    def kept_until(self) -> int:
        """Where the last chunk ends, the last that any vault can be given: short of `end` while what follows it is lost."""
        with self._lock:
            return self._kept_until()

    @property
    def gap(self) -> Hole | None:
        """WAL that Postgres threw away before it was shipped, or that is gone with its vaults: no older snapshot leads past it."""
        return self._gap

    @property
    def lost(self) -> list[Hole]:
        """All WAL of this epoch that no vault can be given, also what a snapshot leads past by now."""
        return [*self._bridged, *([self._gap] if self._gap else [])]

    def skip(self, until: int) -> None:
        """Note, durably, that nobody will ever have the WAL from the spool's end up to `until`."""
        self.carry(Hole(self._gap.start if self._gap else self.end, until, time.time()))

    def carry(self, gap: Hole) -> None:
        """Note, durably, that this WAL is lost, also where it is of the epoch that this one continues."""
        write_durably(self._folder / "gap", gap.encode())
        self._gap = gap

    def write_off(self, vaults: Collection[str]) -> None:
        """What these vaults lack, and no other will give them, is lost, durably; for this life they have no hole."""
        holes = [hole for name in vaults if (hole := self._holes[name]) is not None and not self.whole(name)]
        holes = [replace(hole, start=self._floor) if hole.emptied else hole for hole in holes]
        lost = [hole for hole in (self._gap, *holes) if hole is not None and (hole.end > hole.start or hole.emptied)]
        if lost:
            self.carry(Hole(min(h.start for h in lost), max(h.end for h in lost), min(h.since for h in lost)))
        with self._lock:
            self._holes.update(dict.fromkeys(vaults))
            self._mended.clear()

    def bridge(self) -> None:
        """Enough vaults gave back a snapshot from past the gap: it matters no more, but to a vault that was left behind across it."""
        lost = json.dumps([hole.facts() for hole in self.lost])
        write_durably(self._folder / "bridged", lost.encode())
        self._bridged = self.lost
        (self._folder / "gap").unlink(missing_ok=True)
        self._gap = None

    def add(self, start: int, end: int, data: bytes) -> None:
        """Keep a chunk, durably, or leave nothing: another one will begin here."""
        path = self._path(start, end)
        with self._lock:
            over = self._spare.pop() if self._spare else None
        try:
            write_durably(path, data, over)
        except OSError:
            for left in (path, over):
                if left is not None:
                    left.unlink(missing_ok=True)
            raise
        with self._lock:
            self._chunks.append(Kept(start, end, len(data), now()))
            self._newest = (start, end, data)

    def last(self) -> bytes | None:
        """The last chunk that was made; None where there is none yet."""
        with self._lock:
            found = self._chunks[-1] if self._chunks else None
        return None if found is None else self._path(found.start, found.end).read_bytes()

    def next_for(self, vault: str, after: int | None = None) -> tuple[int, int, bytes] | None:
        """The first chunk that this vault was not given (past `after`): start, end, bytes."""
        while True:
            with self._lock:
                index = self._first_lacking(vault, after)
                found = self._chunks[index] if index < len(self._chunks) else None
                newest = self._newest
            if found is None:
                return None
            if newest is not None and newest[:2] == found[:2]:  # what all wait for is not read once a vault
                return newest
            with suppress(FileNotFoundError):
                data = self._path(found.start, found.end).read_bytes()
                with self._lock:
                    if self._chunks[0].start <= found.start:
                        return found.start, found.end, data
            # the vault was left behind meanwhile: what it is owed begins later, and the file may be another chunk's by now

    def advance(self, vault: str, position: int) -> None:
        """The vault was given everything up to `position`. Nothing is written: a commit may wait for what comes next."""
        with self._lock:
            self._at[vault] = max(position, self._at[vault])

    def tidy(self) -> None:
        """Forget what all vaults were given, then note how far each is; a note that is lost puts the same bytes again."""
        self._forget()
        with self._lock:
            moved = {vault: at for vault, at in self._at.items() if self._noted.get(vault) != at}
        for vault, at in moved.items():
            path = self._at_notes / vault
            new = path.with_name(f".{vault}.new")
            new.write_text(lsn.show(at))
            new.replace(path)
            self._noted[vault] = at

    def leave(self, vault: str, *, emptied: bool = False) -> Hole:
        """Leave a vault behind: what it was not given is owed by other vaults now, and no longer kept for it.

        One that was `emptied` stays so until it was filled.
        """
        with self._lock:
            begin, lag, older = self._held(vault), self._lag(vault), self._holes[vault]
            emptied = emptied or (older is not None and older.emptied)
            hole = Hole(begin, self._kept_until(), time.time() - lag, emptied)
            write_durably(self._hole_notes / vault, hole.encode())
            self._holes[vault], self._left[vault] = hole, now() - lag
            self._mended.pop(vault, None)
        self.advance(vault, hole.end)
        self.tidy()
        return hole

    def mend(self, vault: str, hole: Hole) -> bool:
        """The vault was given what it lacked; False when that is not (or no longer) all that it lacks.

        Not by this ship: it counts once a look after this moment finds no newer epoch there (`fill`).
        """
        with self._lock:
            lacks = self._holes[vault]
            if lacks is None or (lacks.start, lacks.end) != (hole.start, hole.end):
                return False
            self._mended[vault] = lacks
            return True

    def mended(self, vault: str) -> Hole | None:
        """What the vault lacked, has been given, and does not count for yet."""
        with self._lock:
            return self._mended.get(vault)

    def fill(self, vault: str, hole: Hole) -> None:
        """A look that began after `mend` found no newer epoch: from now on the vault counts for what it was given."""
        with self._lock:
            self._mended.pop(vault, None)
            if self._holes[vault] != hole:  # left behind again: it lacks more
                return
            self._holes[vault] = None
        (self._hole_notes / vault).unlink()

    def hole(self, vault: str) -> Hole | None:
        """What a vault that was left behind lacks before its newest chunks."""
        return self._holes[vault]

    def whole(self, vault: str) -> bool:
        """Whether the vault lacks nothing before its newest chunks: it has no hole, or was given all of it."""
        hole = self._holes[vault]
        return hole is None or self.mended(vault) == hole

    def given(self, vault: str) -> int:
        """Position up to which the vault was given everything, but for what a hole tells of."""
        with self._lock:
            return self._at[vault]

    def held(self) -> dict[str, int]:
        """Position of each vault up to which it holds everything."""
        with self._lock:
            return {vault: self._held(vault) for vault in self._at}

    def confirmed(self, k: int) -> int:
        """Position that k vaults hold without a hole."""
        return held_by(k, self.held().values())

    def lag(self, vault: str) -> float:
        """Age in seconds of the oldest chunk that this vault lacks; 0 when it lacks none. No jump of the clock changes it."""
        with self._lock:
            return self._lag(vault)

    def shipped(self, k: int) -> bool:
        """Whether k vaults hold at least one chunk of this epoch."""
        return self.confirmed(k) > self._floor

    def backlog(self, vault: str) -> tuple[int, int]:
        """Chunks that are kept for this vault, and what they take of the disk."""
        with self._lock:
            pending = self._chunks[self._first_lacking(vault) :]
        return len(pending), sum(on_disk(chunk.size) for chunk in pending)

    def _kept_until(self) -> int:
        """Where the last chunk ends; as far as the vaults are while there is none."""
        return self._chunks[-1].end if self._chunks else max(self._at.values())

    def _forget(self) -> None:
        with self._lock:
            everywhere = min(self._at.values())
            done = [chunk for chunk in self._chunks[:-1] if chunk.end <= everywhere]
            self._chunks = self._chunks[len(done) :]
        free, spare = SPARES - len(self._spare), list[Path]()
        for chunk in done:
            path = self._path(chunk.start, chunk.end)
            if chunk.size > SPARE_SIZE or len(spare) >= free:
                path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):
                spare.append(path.replace(path.with_name(f"{path.name}.new")))
        if spare:
            sync(self._wal)  # no power cut may leave a chunk's name on what is written over it
            with self._lock:
                self._spare += spare

    def _held(self, vault: str) -> int:
        hole = self._holes[vault]
        return max(hole.start, self._floor) if hole else self._at[vault]

    def _lag(self, vault: str) -> float:
        if self._holes[vault]:
            return now() - self._left[vault]
        index = self._first_lacking(vault)
        return now() - self._chunks[index].since if index < len(self._chunks) else 0.0

    def _first_lacking(self, vault: str, after: int | None = None) -> int:
        position = max(self._at[vault], after or 0)
        return bisect_right(self._chunks, position, key=lambda chunk: chunk.end)

    def _path(self, start: int, end: int) -> Path:
        return self._wal / f"{start:016X}-{end:016X}"

    def _read_position(self, vault: str) -> int:
        """What was noted, but never before the oldest chunk kept: older ones all vaults were given."""
        try:
            noted = lsn.parse((self._at_notes / vault).read_text())
        except (OSError, ValueError):
            noted = 0
        return max(noted, self._chunks[0].start if self._chunks else 0)


def _kept(path: Path) -> Kept:
    found = path.stat()
    return Kept(int(path.name[:16], 16), int(path.name[17:], 16), found.st_size, _on_our_clock(found.st_mtime))


def _on_our_clock(told: float) -> float:
    """A time of day that was noted before this life, on the lease's clock; what lies in the future was now."""
    return now() - max(0.0, time.time() - told)


def on_disk(size: int) -> int:
    """What a file of this size takes of the disk."""
    return -(-size // BLOCK) * BLOCK


def write_durably(path: Path, data: bytes, over: Path | None = None) -> None:
    """Write a file so that it is there, whole, after a power cut; over one beside it that nobody needs, where it is named."""
    new = over or path.with_name(f"{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.ftruncate(handle, len(data))
        os.fsync(handle)
    finally:
        os.close(handle)
    new.replace(path)
    sync(path.parent)
