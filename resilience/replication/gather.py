"""Gathering: fetch an epoch's chunks from all vaults at once, heal, and prove where they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from resilience.errors import BrokenChain, ResilienceError, TooFewVaults, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chain as chains
from resilience.replication import chunk, layout, lsn, packing
from resilience.replication.appfolders import is_file
from resilience.replication.chain import Chain
from resilience.replication.chunk import Header
from resilience.replication.config import ours
from resilience.replication.epoch import each
from resilience.replication.objects import Place, Span, ends, is_object, keep, object_path
from resilience.replication.originals import Altered, read_good, was_written_over
from resilience.replication.records import meaning, that_counts

FETCHERS = 12
HERE = "(this host)"
"""What a standby read before counts as one more holder; it heals what every vault lost."""
T = TypeVar("T")
log = structlog.get_logger()


class Gathered:
    """The chunks of one epoch that were fetched: headers in memory, objects in a folder."""

    def __init__(
        self,
        record: EpochRecord,
        vaults: Mapping[str, Vault],
        sealed: Iterable[str],
        folder: Path,
        looked_at: Place | None = None,
    ) -> None:
        self.record = record
        self.healed: list[str] = []
        self.records: dict[str, bytes] = {}
        """The start and opening records of this epoch, by key."""
        self.listed: dict[str, set[int]] = {}
        self._vaults = vaults
        self._sealed = tuple(sealed)
        self._folder = folder
        self._looked_at = looked_at or Place()
        self.opened = False
        """Whether anything could be opened, here or in an earlier leg: what can't be then is no fault of the key."""
        self.within = False
        """Whether the chain may begin within a chunk: nobody knows where that begins, and each that may be it is looked at."""
        self._read: set[Header] = set()
        self._doubted: set[int] = set()
        """Where chunks begin of which this host has two."""
        self._unread: list[VaultError] = []
        self._unsigned: set[Header] = set()
        """Of what is kept here: whose signature was not looked at this time."""
        self._good: dict[str, dict[int, Header]] = {name: {} for name in vaults}
        self._asked: dict[str, set[int]] = {name: set() for name in vaults}
        self._altered: set[tuple[str, int]] = set()
        self._pool = ThreadPoolExecutor(max_workers=FETCHERS)
        ours(folder)

    def walk(
        self,
        position: int,
        limit: int | None,
        accept: int | None,
        arrived: Callable[[Header, bytes], None],
        differ: Callable[[Header, Header], bool] = lambda *_: False,
    ) -> Chain:
        """The chain from `position` to its proven end, or to `limit`; BrokenChain where it has a hole, or two histories lie there.

        `arrived` is called with every good chunk as soon as it is there, from several threads; one at which it raises a VaultError
        counts as altered. `differ` tells whether two that overlap do.
        """
        self._arrived = arrived
        self._take_local(position)
        self._list()
        named = set().union(*self.listed.values())
        self._ask_all_about_doubted()
        first = max((start for start in named if start <= position), default=position)
        self._fetch_all(start for start in named if start >= first and (limit is None or start < limit))
        chain = self._to_end(position, limit)
        if self.within or self._doubtful(chain):
            self._fetch_all(start for start in named if position - packing.LIMIT <= start < first)
            chain = self._to_end(position, limit)
        self._prove(chain)
        self._pool.shutdown()
        if self._unread and not self.opened:
            raise self._unread[0]
        self._one_beginning(position, differ)
        chain = self._one_history(chain, accept, differ)
        self._tell_strays(chain)
        if (limit is None or chain.end < limit) and chain.end != accept:
            chains.refuse_altered(chain, self._altered_at(chain.end), self.record.number)
            later = [start for start in named if limit is None or start < limit]
            chains.refuse_hole(chain, [*later, *([limit] if limit is not None else [])], self.record.number)
        return chain

    def holders(self, header: Header, confirmed: int) -> set[str]:
        """Vaults that hold this chunk: read whole there, or listed, where its site once said that k vaults hold it."""
        start, said = header.start, header.end <= confirmed
        return {
            n for n in self._vaults if start in self._good[n] or (said and start in self.listed[n] - self._asked[n])
        }

    def strays(self, chain: Chain) -> list[Header]:
        """Good chunks that begin within the chain and are none of it: whoever has the site's key put them under free names."""
        return list(chains.strays(chain, self._good))

    def altered_in(self, name: str, chain: Chain) -> list[str]:
        """Keys under which a vault holds an altered object where the chain has a chunk."""
        starts = [header.start for header in chain.headers if (name, header.start) in self._altered]
        return [layout.chunk(self.record.number, start) for start in starts]

    @property
    def furthest_here(self) -> int:
        """Where the last chunk ends that this host read before."""
        return max((header.end for header in self._good.get(HERE, {}).values()), default=0)

    def object(self, header: Header) -> bytes:
        """The chunk as its object, to be put; VaultError where it was altered on this host since it was read."""
        path = self._path(header)
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            if header not in self._unsigned or chunk.decode(data, self.record) is not None:
                return data
            path.unlink(missing_ok=True)  # the next run takes it from a vault
        raise VaultError(
            f"The chunk at {lsn.show(header.start)} was altered on this host.",
            "Its signature does not fit any more: this disk may be failing.",
            "Run the same command again: it takes this chunk from a vault that holds it.",
        )

    def _take_local(self, position: int) -> None:
        """Chunks past `position` that this host read while it followed: what it delivered by then it had looked at."""
        here = self._good[HERE] = {}
        since = Place(self.record.number, position)
        named = sorted(self._folder.glob(f"{self.record.number:08d}-*"))
        paths = [path for path in named if is_object(path.name) and ends(path) > since]
        starts = Counter(Span.of(path.name).start for path in paths)
        self._doubted = {start for start, count in starts.items() if count > 1}
        for path in paths:
            if Span.of(path.name).start in self._doubted:
                continue
            known = ends(path) <= self._looked_at
            found = chunk.decode(path.read_bytes(), self.record, known=known)
            if found is None or path != self._path(found[0]):
                log.warning("a chunk was altered on this host", name=path.name)
                path.unlink()  # else it would stand where a vault's belongs
            elif self._opens(*found):  # else it may with another key
                if known:
                    self._unsigned.add(found[0])
                here[found[0].start] = found[0]

    def _list(self) -> None:
        def one(vault: Vault) -> set[int]:
            try:
                keys = vault.list(layout.wal(self.record.number))
            except ResilienceError as error:
                log.warning("chunks cannot be listed", vault=vault.name, why=error.why)
                return set()
            return {start for key in keys if (start := layout.chunk_start(key)) is not None}

        self.listed = dict(zip(self._vaults, self._pool.map(one, self._vaults.values()), strict=True))

    def _ask_all_about_doubted(self) -> None:
        """Where this host has two chunks of one name, which an earlier run found, vaults tell which one there is."""
        pairs = [(name, start) for start in self._doubted for name in self._vaults if start in self.listed[name]]
        list(self._pool.map(lambda pair: self._fetch(*pair), pairs))

    def _to_end(self, position: int, limit: int | None) -> Chain:
        """What the chunks that were fetched make, and all that vaults have under the names after it."""
        chain = chains.merge(position, self._good, limit)
        while (limit is None or chain.end < limit) and self._probe(chain):
            chain = chains.merge(position, self._good, limit)
        return chain

    def _fetch_all(self, starts: Iterable[int]) -> None:
        """Fetch chunks, each from one vault that lists it and has it whole, but for those that are here."""
        list(self._pool.map(self._fetch_once, enumerate(sorted(set(starts) - self._good[HERE].keys()))))

    def _fetch_once(self, numbered: tuple[int, int]) -> None:
        """Fetch one chunk from the vaults that list it, in turn, until one has it whole."""
        index, start = numbered
        names = [name for name in self._vaults if start in self.listed[name]]
        for turn in range(len(names)):
            if self._fetch(names[(index + turn) % len(names)], start) is True:
                return

    def _fetch(self, name: str, start: int) -> bool | ResilienceError:
        """Fetch a chunk from one vault; False when it is not there, or altered; the error when it is silent."""
        key = layout.chunk(self.record.number, start)
        try:
            found = read_good(self._vaults[name], key, lambda data: self._decode(data, start))
        except ResilienceError as error:
            log.warning("a chunk cannot be read", vault=name, start=lsn.show(start), why=error.why)
            return error
        self._asked[name].add(start)
        if found is None:
            return False
        if isinstance(found, Altered):
            log.warning("an altered chunk", vault=name, start=lsn.show(start))
            self._altered.add((name, start))
            self.healed.append(f"{name}: altered {key}")
            return False
        data, (header, body) = found
        if not self._opens(header, body):
            self._altered.add((name, start))
            self.healed.append(f"{name}: opens for nobody {key}")
            return False
        if not is_file(self._path(header)):
            keep(self._folder, header, data)
        self._good[name][start] = header
        if was_written_over(self._vaults[name], key):
            self.healed.append(f"{name}: written over {key}")
        return True

    def _opens(self, header: Header, body: bytes) -> bool:
        """Hand a chunk on, once; False where its site signed what nobody can open."""
        if header in self._read:
            return True
        try:
            self._arrived(header, body)
        except VaultError as error:
            log.warning("a chunk opens for nobody", start=lsn.show(header.start), what=error.what, why=error.why)
            self._unread.append(error)
            return False
        self._read.add(header)
        self.opened = True
        return True

    def _decode(self, data: bytes, start: int) -> tuple[Header, bytes] | None:
        """A chunk that is whole, signed, and begins where its name says."""
        said = chunk.decode(data, self.record)
        return said if said is not None and said[0].start == start < said[0].end else None

    def _probe(self, chain: Chain) -> bool:
        """Ask every vault for the next chunk, and for its own copy of the last; True when that brought more.

        False proves the end: every sealed vault answered that there is no such chunk (or has it altered).
        """
        starts = [chain.end, *(header.start for header in chain.headers[-1:])]
        pairs = [(name, start) for name in self._vaults for start in starts if start not in self._asked[name]]
        answers = dict(zip(pairs, self._pool.map(lambda pair: self._fetch(*pair), pairs), strict=True))
        silent = {
            name: a for (name, _), a in answers.items() if isinstance(a, ResilienceError) and name in self._sealed
        }
        missing = [name for name in self._sealed if name not in self._vaults]
        found_next = any(a is True and start == chain.end for (_, start), a in answers.items())
        longer = any(h.end > chain.end for held in self._good.values() for h in held.values() if h.start <= chain.end)
        if found_next:
            lacked = [name for (name, start), a in answers.items() if a is False and start == chain.end]
            self.healed += [f"{name}: lacked {layout.chunk(self.record.number, chain.end)}" for name in lacked]
        if found_next or longer:
            return True
        if silent or missing:
            why = [f"{name}: {error.why}" for name, error in silent.items()] + [
                f"{name}: not given" for name in missing
            ]
            raise TooFewVaults(
                f"The end of epoch {self.record.number}'s chain cannot be proven at {lsn.show(chain.end)}.",
                f"Every vault that the new epoch was sealed in must say that it holds no more. {'; '.join(why)}",
                "Bring the vault back and run the same command again, or seal a newer epoch without it.",
            )
        return False

    def _prove(self, chain: Chain) -> None:
        """Read each vault's own copy of what no chunk says was confirmed: a listing is no proof that it is whole.

        Of the last chunk, too, which tells by its hashes what all before it must be; and of all where that does not fit.
        """
        doubt = self._doubtful(chain)
        headers = [h for h in chain.headers if doubt or h.end > chain.confirmed or h == chain.headers[-1]]
        pairs = [(n, h.start) for n in self._vaults for h in headers if h.start in self.listed[n] - self._asked[n]]
        list(self._pool.map(lambda pair: self._fetch(*pair), pairs))

    def _one_beginning(self, position: int, differ: Callable[[Header, Header], bool]) -> None:
        """BrokenChain where more than one chunk holds the position, and not all that follows from them is the same."""
        good = {header for held in self._good.values() for header in held.values() if header.end > position}
        over = sorted((header for header in good if header.start <= position), key=lambda h: (h.start, h.sha256))
        for one in over if len(over) > 1 else ():
            for two in good - {one}:
                if two.start < one.end and differ(one, two):
                    self._keep_none_of(good)
                    chains.refuse_doubt(position, one, two)

    def _keep_none_of(self, doubtful: Iterable[Header]) -> None:
        """What vaults gave is asked for again by the next run, once it was put right there."""
        for header in doubtful:
            if any(self._good[name].get(header.start) == header for name in self._vaults):
                self._path(header).unlink(missing_ok=True)

    def _one_history(self, chain: Chain, accept: int | None, differ: Callable[[Header, Header], bool]) -> Chain:
        """The chain; BrokenChain where two histories part, or what lies before that where the operator accepts it as the end."""
        told = {
            header: f"two chunks of epoch {header.epoch} begin at {lsn.show(header.start)} in {', '.join(names)}, and differ"
            for header, names in chains.forked(chain, self._good).items()
        }
        for one, two in chains.overlaps(chain):
            if two not in told and differ(one, two):
                starts = f"{lsn.show(one.start)} and {lsn.show(two.start)}"
                told[two] = f"chunks of epoch {two.epoch} at {starts} overlap and differ"
        told = {**self._astray(chain, differ), **told}
        if not told:
            return chain
        first = min(told, key=chain.headers.index)
        before = chain.before(first)
        if before.end != accept:
            chains.refuse_fork(before, told[first])
        return before

    def _doubtful(self, chain: Chain) -> bool:
        """Whether a chunk, of the chain or astray, names one before it that is neither on the chain nor known."""
        named = [two for two in self._named_before(chain) if two.before]
        known = self._by_hash() if named else {}
        return bool(chains.unlinked(chain)) or any(chains.behind(two, chain, known) is None for two in named)

    def _named_before(self, chain: Chain) -> list[Header]:
        """Chunks that may name another one than lies before them: of the chain, and astray."""
        return [*(two for _, two in chains.unlinked(chain)), *chains.strays(chain, self._good)]

    def _by_hash(self) -> dict[str, Header]:
        return {header.sha256: header for held in self._good.values() for header in held.values()}

    def _astray(self, chain: Chain, differ: Callable[[Header, Header], bool]) -> dict[Header, str]:
        """Chunks of the chain that are not what others, of it or astray, were made after, with why.

        A ship's chunks name each other back to where they are the chain's own. Whoever comes later can't put one there that
        does, but where a vault lacked one: all other names are taken. What leads nowhere is no witness.
        """
        known = self._by_hash()
        told: dict[Header, str] = {}
        for two in self._named_before(chain):
            leading = chains.behind(two, chain, known) if two.before else None
            says = (
                f"the chunk of epoch {two.epoch} at {lsn.show(two.start)} goes on from another one than lies before it"
            )
            if leading is None and two in chain.headers:
                told[chain.headers[chain.headers.index(two) - 1]] = says
            for other in () if leading is None else (two, *leading):
                overlapped = [h for h in chain.headers if h != other and h.start < other.end and other.start < h.end]
                told |= {header: says for header in overlapped if differ(header, other)}
        return told

    def _tell_strays(self, chain: Chain) -> None:
        for header, names in chains.strays(chain, self._good).items():
            log.warning("a chunk that is none of the chain", vaults=names, start=lsn.show(header.start))
            self.healed += [f"{name}: stray {layout.chunk(header.epoch, header.start)}" for name in names]

    def _altered_at(self, start: int) -> list[str]:
        return [name for name, at in self._altered if at == start]

    def _path(self, header: Header) -> Path:
        return object_path(self._folder, header)


def read_record(
    vaults: Mapping[str, Vault],
    sealed: Iterable[str],
    record: EpochRecord,
    key: str,
    decode: Callable[[bytes], T | None],
) -> tuple[T | None, dict[str, bytes]]:
    """An epoch's record under one exact name: what it says, and which vaults hold it.

    Where two that its site signed differ, the one of them that counts, else BrokenChain.
    None only when every sealed vault says that it is not there; where some hold an altered one, when so many of the epoch's
    own have none that k can't have held it.
    """
    answers = each(vaults, lambda vault: read_good(vault, key, decode))
    held = {name: a for name, a in answers.items() if isinstance(a, tuple)}
    if held:
        unheard = [name for name in record.vaults if name not in answers or isinstance(answers[name], ResilienceError)]
        said = held[that_counts({name: said for name, (_, said) in held.items()}, unheard, record, key)][1]
        return said, {name: data for name, (data, theirs) in held.items() if meaning(theirs) == meaning(said)}
    unsure = [name for name in sealed if name not in answers or isinstance(answers[name], ResilienceError)]
    if unsure:
        raise TooFewVaults(
            f"Whether {key} exists cannot be told.",
            f"No vault holds it, and these did not answer: {', '.join(unsure)}.",
            "Bring the vault back and run the same command again, or seal a newer epoch without it.",
        )
    altered = [name for name, a in answers.items() if isinstance(a, Altered)]
    without = [name for name in record.vaults if name in answers and answers[name] is None]
    if altered and len(record.vaults) - len(without) >= record.k:
        raise BrokenChain(
            f"an unaltered {key} (altered in {', '.join(altered)})",
            f"epoch {record.number} began, as far as this tells",
            "Bring back a vault that holds it as it was put: without it nobody knows what was written under this epoch. "
            f"Where you know that no site ever opened it, a thief put that there: remove what is below {layout.wal(record.number)} "
            "with the operator's credentials. See runbooks/credentials-stolen.md.",
        )
    return None, {}
