"""catch-up: give a vault that was left behind what it lacks, from the others, the same bytes.

Runs wherever the reader's credentials are, never on the primary. WAL goes by exact names from one
chunk's end to the next, so that a stale listing leaves no gap; pictures and ledger by listing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from resilience.errors import BrokenChain, ResilienceError, UsageError, VaultError
from resilience.replication import chunk, layout, lsn, notes, packing
from resilience.replication.apart import Owed, cut, give, owed
from resilience.replication.config import Config
from resilience.replication.epoch import each
from resilience.replication.originals import Altered, as_put, read_good
from resilience.replication.spool import Hole

AT_ONCE = 12
T = TypeVar("T")
log = structlog.get_logger()


def main(config: Config, vault: str | None, begin: str | None, until: str | None) -> dict[str, Any]:
    """Copy WAL of this epoch from `begin` up to `until`, and pictures and ledger entries, into one vault."""
    name, start, end = _given(config, vault, begin, until)
    copier = _Copier(config, name)
    named = copier.named()
    first = copier.beginning(start, named)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        ahead = pool.map(copier.chunk, [position for position in named if first <= position < end])
        chunks = sum(fetched for _, fetched in ahead)
        chunks += copier.walk(first, end)
        lacking = copier.lacking(layout.LEDGER, layout.MEDIA)
        objects = sum(pool.map(copier.object, lacking.copies)) + sum(pool.map(copier.payload, lacking.whole))
    unreadable = sorted(copier.unreadable)
    log.info("caught up", vault=name, chunks=chunks, objects=objects, unreadable=unreadable)
    told = {"vault": name, "from": lsn.show(start), "until": lsn.show(end), "chunks": chunks, "objects": objects}
    return {**told, "unreadable": unreadable}


def caught_up(config: Config, vault: str | None, begin: str | None, until: str | None) -> dict[str, Any]:
    """On the primary: tell ship that a vault's hole was filled."""
    name, start, end = _given(config, vault, begin, until)
    told = {"nonce": config.record.nonce, "vault": name, "from": lsn.show(start), "until": lsn.show(end)}
    notes.keep(config, "caught-up", told)
    return told


def filled(config: Config) -> tuple[str, Hole] | None:
    """What `caught_up` was told last under this epoch."""
    told = notes.read(config, "caught-up")
    if told is None or told["nonce"] != config.record.nonce:
        return None
    return told["vault"], Hole(lsn.parse(told["from"]), lsn.parse(told["until"]), 0.0)


def _given(config: Config, vault: str | None, begin: str | None, until: str | None) -> tuple[str, int, int]:
    if vault not in config.record.vaults or begin is None or until is None:
        raise UsageError(
            f"There is no hole in {vault} to fill.",
            f"Vaults of epoch {config.record.number}: {', '.join(config.record.vaults)}; a hole has two ends.",
            "Give --vault, --from and --until as ship's status names them under `hole`.",
        )
    return vault, lsn.parse(begin), lsn.parse(until)


class _Copier:
    """Copies what one vault lacks from the others."""

    def __init__(self, config: Config, name: str) -> None:
        self._record = config.record
        self._name = name
        self._apart = config.apart
        self._readers = as_put(config.open())
        writers = config.open_to_write(config.record.vaults)
        self._writer = writers[name]
        self._keepers = [vault for other, vault in writers.items() if other not in config.apart]
        self._others = [vault for other, vault in self._readers.items() if other != name]
        self._ends: dict[int, int] = {}
        self.unreadable: list[str] = []
        """Pictures that no vault that answers has as an age file."""

    def named(self) -> list[int]:
        """Chunks that any listing names: a hint."""
        answers = each(self._readers, lambda vault: vault.list(layout.wal(self._record.number)))
        self._pass_over({name: error for name, error in answers.items() if isinstance(error, ResilienceError)})
        keys = {key for found in answers.values() if not isinstance(found, ResilienceError) for key in found}
        positions = {position for key in keys if (position := layout.chunk_start(key)) is not None}
        return sorted(positions)

    def beginning(self, start: int, named: Sequence[int]) -> int:
        """Where the chunk begins that holds this position: right there, or before where a snapshot's WAL begins within it."""
        if start in named:
            return start
        near = [position for position in named if start - packing.LIMIT <= position < start][-AT_ONCE:]
        holds = (position for position in reversed(near) if self._reaches(position) > start)
        return next(holds, start)

    def _pass_over(self, silent: Mapping[str, ResilienceError]) -> None:
        """Do without vaults that do not answer, which may be gone for good; whatever k were given another one has, unless k are silent."""
        told = [error for name, error in silent.items() if name in self._record.vaults]
        if self._name in silent or len(told) >= self._record.k:
            raise silent.get(self._name, told[-1])
        for name, error in silent.items():
            log.warning("a vault is passed over", vault=name, what=error.what, why=error.why)
            del self._readers[name]
        self._others = [vault for name, vault in self._readers.items() if name != self._name]

    def _reaches(self, position: int) -> int:
        """Where the chunk that begins there ends, as another vault has it; 0 where none has it whole."""
        whole = self._whole(position)
        return max(map(whole, self._copies(layout.chunk(self._record.number, position))), default=0)

    def walk(self, start: int, end: int) -> int:
        """Follow the chain through the hole by exact names; how many chunks no listing had named."""
        position, copied = start, 0
        while position < end:
            if position not in self._ends:
                reached, fetched = self.chunk(position)
                copied += fetched
                self._ends[position] = reached
            position = self._ends[position]
        return copied

    def chunk(self, start: int) -> tuple[int, int]:
        """Where this chunk ends, and whether it was copied; BrokenChain when nobody has it whole."""
        key = layout.chunk(self._record.number, start)
        whole = self._whole(start)
        own = _or_none(lambda: self._held(key, whole))
        data, copied = own[0] if isinstance(own, tuple) else None, 0
        if data is None:
            data = next((found for found in self._copies(key) if whole(found)), None)
            if data is None:
                raise BrokenChain(
                    f"a whole {key}",
                    lsn.show(start),
                    f"No vault but {self._name} must lack it: bring one back, and take a snapshot into {self._name}.",
                )
            copied = int(self._writer.put_new(key, data))
            if not copied:
                self._refuse_altered(key, whole)
        self._ends[start] = whole(data)
        return self._ends[start], copied

    def _held(self, key: str, whole: Callable[[bytes], int]) -> tuple[bytes, int] | Altered | None:
        """What the vault itself has under this name, as whoever reads it later takes it."""
        return read_good(self._readers[self._name], key, lambda data: whole(data) or None)

    def _refuse_altered(self, key: str, whole: Callable[[bytes], int]) -> None:
        """Something was there already: whole, where somebody else put it meanwhile, or else nothing can take its place."""
        if not isinstance(self._held(key, whole), tuple):
            raise VaultError(
                f"{self._name} holds something else in place of {key}.",
                "It is altered, and not to be written over: the vault would count for WAL that it can't give back.",
                f"Look at it, remove it with the operator's credentials for {self._name}, and run the same command again.",
            )

    def lacking(self, *prefixes: str) -> Owed:
        """What another vault lists and this one does not, as far as this one is to have it."""
        listed = {
            name: frozenset(key for prefix in prefixes for key in vault.list(prefix))
            for name, vault in self._readers.items()
        }
        return owed(self._name, listed, self._apart)

    def object(self, key: str) -> int:
        """Copy one object as it is."""
        data = next(self._copies(key), None)
        return int(data is not None and self._writer.put_new(key, data))

    def payload(self, key: str) -> int:
        """Give a locked vault the payload of a picture that lies elsewhere as one object, and all others its header."""
        kept = _or_none(lambda: cut(layout.picture(key), self._others))
        if kept is None:
            self.unreadable.append(layout.picture(key))
            return 0
        return int(give(kept, self._writer, self._keepers))

    def _copies(self, key: str) -> Iterator[bytes]:
        for vault in self._others:
            data = _or_none(lambda vault=vault: vault.get(key))  # type: ignore[misc]
            if data is not None:
                yield data

    def _whole(self, start: int) -> Callable[[bytes], int]:
        """Tells where the chunk in an object ends; 0 when it is altered or another one."""

        def end(data: bytes) -> int:
            found = chunk.decode(data, self._record)
            return found[0].end if found is not None and found[0].start == start else 0

        return end


def _or_none(ask: Callable[[], T | None]) -> T | None:
    try:
        return ask()
    except ResilienceError as error:
        log.warning("a copy cannot be read", what=error.what, why=error.why)
        return None
