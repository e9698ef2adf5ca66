"""Which entries make the ledger: one of each number, each after the one before, whatever a single vault gives.

An entry's name says under which epoch it was put, and nothing in the entry does. So an entry that a fenced site signed and told
nobody of can be given under the next epoch's name, in place of the one that was acknowledged there. Two vaults that differ are
therefore believed neither: the entry counts that k vaults hold, where no other can be in k of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

import structlog

from resilience.errors import BrokenChain, ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import appfolders, layout
from resilience.replication.config import Config
from resilience.replication.entries import believed, entry, place
from resilience.replication.epoch import each
from resilience.replication.ledger import GENESIS, Entry
from resilience.replication.records import may_be_held, that_k_hold

FETCHERS = 12
FILE = re.compile(r"[0-9]{8}\.json")
MOST = 1000
"""Names below which a vault gives nothing: more than any fault leaves; and how many numbers are read before that is looked at."""
TRIES = 20
"""So many of its last entries a vault may have spoilt, before it is not asked what came before."""
NEXT = (
    "Bring back a vault that holds it; nothing may be opened before every takedown is known. Where one lists or gives what it should not, "
    "look into it; while it does, plan anew with its vendor as lost (`--lost`)."
)
log = structlog.get_logger()


def holders(vaults: Mapping[str, Vault], listed: Mapping[str, Collection[str]], keys: Iterable[str]) -> list[str]:
    """Vaults that may hold an object of these names: they list it, have it though no listing says so, or do not answer."""
    wanted = sorted(keys)
    listing = [name for name in vaults if not set(wanted).isdisjoint(listed[name])]
    others = {name: vault for name, vault in vaults.items() if name not in listing}
    asked = each(others, lambda vault: any(vault.exists(key) for key in wanted)) if others else {}
    return [*listing, *(name for name, answer in asked.items() if answer is not False)]


def put_under(keys: Iterable[str], shippers: Callable[[int], Sequence[EpochRecord]]) -> list[EpochRecord]:
    """The epochs into whose vaults entries of these names were put."""
    epochs = [int(named["epoch"]) for key in keys if (named := layout.ENTRY.fullmatch(key))]
    return list(dict.fromkeys(record for epoch in epochs for record in shippers(epoch)))


def refuse_more(passed_over: Mapping[str, int]) -> None:
    """VaultError where a vault names so much that is nothing that nobody could ever look through it."""
    for name, entries in passed_over.items():
        if entries > MOST:
            raise VaultError(
                f"{name} lists entries of the ledger that nobody gives.",
                f"There are more than {MOST:,}.",
                "Look into that vault; while it makes entries up, plan anew with its vendor as lost (`--lost`).",
            )


def refuse_gap(numbers: Collection[int]) -> None:
    """BrokenChain unless these are all numbers from 1 on."""
    absent = next(seq for seq in count(1) if seq not in numbers)
    if absent < max(numbers, default=0):
        raise BrokenChain(
            f"ledger entry {absent}",
            f"ledger entry {absent - 1}",
            "Bring back a vault that holds it; nothing may be opened before every takedown is known.",
        )


class Lineage:
    """The entries of numbers, read from here and from the vaults that list them."""

    def __init__(
        self,
        config: Config,
        vaults: Mapping[str, Vault],
        listed: Mapping[str, Iterable[str]],
        shippers: Callable[[int], Sequence[EpochRecord]],
        began: Callable[[], int | None],
    ) -> None:
        self.found: dict[int, Entry] = {}
        """One entry of each number, the first that was had."""
        self.passed_over: dict[str, int] = {}
        """By vault, how many names it lists under which nobody gives an entry that belongs there."""
        self._config = config
        self._vaults = vaults
        self._listed = {name: set(keys) for name, keys in listed.items()}
        self._shippers = shippers
        self._began = began
        self._names: Mapping[int, Sequence[str]] = {}
        self._mute: set[str] = set()
        """Vaults that did not answer when they were asked for an entry."""
        self._votes: dict[int, Mapping[str, Entry]] = {}
        self._here: set[int] = set()
        """Numbers whose entry is in the folder already."""
        self._own: frozenset[int] = frozenset()
        """Of these what this very site wrote, of which no vault knows better."""

    @property
    def keys(self) -> list[str]:
        """All names that are still believed to be an entry's."""
        return [key for keys in self._listed.values() for key in keys]

    def read(self, names: Mapping[int, Sequence[str]]) -> bool:
        """Have an entry of each number; False where names were let go for it, so that others may be what counts."""
        self._names = names
        self.found = {seq: found for seq, found in self.found.items() if seq in names}
        todo = sorted(names.keys() - self.found.keys())
        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            for first in range(0, len(todo), MOST):
                some = todo[first : first + MOST]
                had = dict(zip(some, pool.map(self._first, some), strict=True))
                self.found |= {seq: found for seq, found in had.items() if found is not None}
                if nowhere := [seq for seq, found in had.items() if found is None]:
                    self._let_go(nowhere)
                    return False
        return True

    def _first(self, seq: int) -> Entry | None:
        """As it is here, as it was read while this host followed, or from the first vault that gives it."""
        if (kept := self._kept(seq)) is not None:
            self._here.add(seq)
            return kept
        for key in self._names[seq]:
            with suppress(OSError):
                if (read := believed(self._config, key, place(self._config, key).read_bytes())) is not None:
                    return read
            for name in self._vaults:
                if key in self._listed[name] and (given := self._given(name, key)) is not None:
                    return given
        return None

    def _kept(self, seq: int) -> Entry | None:
        path = self._path(seq)
        if not appfolders.is_file(path):
            return None
        with suppress(OSError, appfolders.Misplaced):
            return believed(self._config, layout.ledger(0, seq), appfolders.read(path))
        return None

    def _path(self, seq: int) -> Path:
        return self._config.paths.ledger / f"{seq:08d}.json"

    def _given(self, vault: str, key: str) -> Entry | None:
        """What one vault gives under a name."""
        try:
            return entry(self._vaults[vault], key, self._config)
        except ResilienceError as error:
            log.warning("an entry cannot be read", vault=vault, key=key, why=error.why)
            self._mute.add(vault)
            return None

    def _unlisted(self, seq: int, having: Iterable[str]) -> Entry | None:
        """One that no listing named yet: a listing may be stale."""
        for name in having:
            for key in self._names[seq]:
                if key not in self._listed[name] and (given := self._given(name, key)) is not None:
                    self._listed[name].add(key)
                    return given
        return None

    def _let_go(self, numbers: Sequence[int]) -> None:
        """Pass over names under which nobody gives an entry; BrokenChain where one may have been acknowledged there."""
        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            asked = zip(numbers, pool.map(self._holders, numbers), strict=True)
        for seq, having in asked:
            if (found := self._unlisted(seq, having)) is not None:
                self.found[seq] = found
                continue
            if not (records := self._records(seq)) or may_be_held(having, self._silent(records), records):
                raise BrokenChain(
                    f"an entry that can be believed under {self._names[seq][0]} (listed by {', '.join(having)})",
                    f"ledger entry {seq - 1}",
                    NEXT,
                )
            self._pass_over(having, seq)
        refuse_more(self.passed_over)

    def _holders(self, seq: int) -> list[str]:
        return holders(self._vaults, self._listed, self._names[seq])

    def _pass_over(self, vaults: Collection[str], seq: int) -> None:
        if not self.passed_over.keys() >= {*vaults}:
            log.warning("an entry is listed that nobody gives, or that counts for nothing", vaults=vaults, seq=seq)
        self.passed_over = dict(Counter(self.passed_over) + Counter(vaults))
        for name in vaults:
            self._listed[name].difference_update(self._names[seq])

    def _records(self, seq: int) -> list[EpochRecord]:
        """The epochs into whose vaults an entry of these names was put."""
        return put_under(self._names[seq], self._shippers)

    def _silent(self, records: Iterable[EpochRecord]) -> set[str]:
        return {name for record in records for name in record.vaults if name not in self._vaults or name in self._mute}

    def line(self) -> dict[int, Entry]:
        """The entries from the first on, each after the one before; BrokenChain where one is missing, or two could be it."""
        if self._config.ledger_check is None:
            return self._whole()
        self._own = self._written_here()
        self._compare()
        head, line = GENESIS, dict[int, Entry]()
        for seq in count(1):
            fits = [found for found in self._candidates(seq) if found.prev == head]
            if not fits and seq in self.found and seq not in self._votes:
                self._ask(seq)
                fits = [found for found in self._candidates(seq) if found.prev == head]
            if not fits:
                break
            line[seq] = fits[0] if len(fits) == 1 else self._that_counts(seq, fits)
            head = line[seq].sha256
        self._refuse_lost(line)
        return line

    def _whole(self) -> dict[int, Entry]:
        """Where nobody can tell what an entry follows: all there are, without a gap."""
        refuse_gap(self.found)
        return self.found

    def _written_here(self) -> frozenset[int]:
        began = self._began() if self._here else None
        return frozenset() if began is None else frozenset(seq for seq in self._here if seq > began)

    def _compare(self) -> None:
        """Ask every vault for what doubt there is: each one's last entry of each epoch tells all that it has before it."""
        doubted = [tip.seq for tip in self._tips() if tip.sha256 != self.found[tip.seq].sha256]
        doubted += [seq for seq in self.found if seq - 1 in self.found and self._parts(seq, [self.found[seq]])]
        while doubted:
            seq = doubted.pop()
            if seq in self.found and seq not in self._votes and seq not in self._own:
                self._ask(seq)
                doubted += [seq - 1] if self._parts(seq, self._candidates(seq)) else []

    def _parts(self, seq: int, candidates: Iterable[Entry]) -> bool:
        """Whether one of these follows another entry than the one that is here."""
        before = self.found[seq - 1].sha256 if seq - 1 in self.found else GENESIS
        return any(found.prev != before for found in candidates)

    def _tips(self) -> list[Entry]:
        by_epoch: dict[str, dict[int, str]] = {}
        for seq, keys in self._names.items():
            for key in keys:
                by_epoch.setdefault(key.rpartition("/")[0], {})[seq] = key

        def tip(vault: str, of: Mapping[int, str]) -> Entry | None:
            there = (seq for seq in sorted(of, reverse=True) if seq not in self._own and of[seq] in self._listed[vault])
            tries = (self._given(vault, of[seq]) for seq in islice(there, TRIES) if vault not in self._mute)
            return next((given for given in tries if given is not None), None)

        pairs = [(vault, of) for vault in self._vaults for of in by_epoch.values()]
        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            return [given for given in pool.map(lambda pair: tip(*pair), pairs) if given is not None]

    def _ask(self, seq: int) -> None:
        """What each vault gives of this number, under the newest name that it has."""

        def one(vault: str) -> Entry | None:
            there = (key for key in self._names[seq] if key in self._listed[vault])
            return next((given for key in there if (given := self._given(vault, key)) is not None), None)

        if seq in self._own:
            self._votes[seq] = {}
            return
        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            given = dict(zip(self._vaults, pool.map(one, self._vaults), strict=True))
        self._votes[seq] = {vault: found for vault, found in given.items() if found is not None}

    def _candidates(self, seq: int) -> list[Entry]:
        several = [*self._votes.get(seq, {}).values(), *([self.found[seq]] if seq in self.found else [])]
        return list({found.sha256: found for found in several}.values())

    def _that_counts(self, seq: int, fits: Sequence[Entry]) -> Entry:
        """Of several that fit the one that k vaults hold, where no other can be in k of them."""
        counts = self._held(seq, fits)
        if counts is not None:
            return counts
        told = "; ".join(f"{found.sha256[:12]}… in {', '.join(self._giving(seq, found)) or 'here'}" for found in fits)
        raise BrokenChain(
            f"one ledger entry {seq} that counts ({told})",
            f"ledger entry {seq - 1}",
            "The ledger's key signed all of them, and too few vaults answer to tell which of them was acknowledged: one was a fenced site's. "
            "Bring back those that do not answer; else find out whose it is (when was it put, and by whom: the stores' versions and logs), "
            "and plan anew with the vendor of the vault that gives it as lost (`--lost`).",
        )

    def _held(self, seq: int, fits: Sequence[Entry]) -> Entry | None:
        records = self._records(seq)
        sides = {found.sha256: self._giving(seq, found) for found in fits}
        side = that_k_hold(list(sides.values()), self._silent(records), records)
        return next((found for found in fits if side is not None and sides[found.sha256] == side), None)

    def _giving(self, seq: int, found: Entry) -> list[str]:
        return [vault for vault, given in self._votes.get(seq, {}).items() if given.sha256 == found.sha256]

    def _refuse_lost(self, line: Mapping[int, Entry]) -> None:
        """Pass over what only follows entries that do not count; BrokenChain where an entry between is in no vault."""
        end = len(line)
        refused = {found.sha256 for seq in line for found in self._candidates(seq)} - {e.sha256 for e in line.values()}
        for seq in sorted(seq for seq in self.found if seq > end):
            rest, having, records = self._candidates(seq), self._holders(seq), self._records(seq)
            told_nobody = bool(records) and not may_be_held(having, self._silent(records), records)
            follows_refused = all(found.prev in refused for found in rest)
            if not (told_nobody or follows_refused or (seq == end + 1 and self._is_settled(end, records))):
                told = f"{', '.join(having)}: entry {seq} follows another one"
                raise BrokenChain(f"ledger entry {end + 1} that follows ({told})", f"ledger entry {end}", NEXT)
            refused |= {found.sha256 for found in rest}
            self._pass_over(having, seq)

    def _is_settled(self, seq: int, records: Sequence[EpochRecord]) -> bool:
        """Whether so many vaults give this entry that nothing which follows another one was acknowledged."""
        if seq in self._own:
            return True
        if seq not in self.found:
            return False
        if seq not in self._votes:
            self._ask(seq)
        giving = {vault for vault, given in self._votes[seq].items() if given.sha256 == self.found[seq].sha256}
        return bool(records) and all(len({*record.vaults} - giving) < record.k for record in records)

    def keep(self, line: Mapping[int, Entry]) -> int:
        """Write what is not here as it should be, and remove what is no entry of its number; how many were written."""
        ledger = self._config.paths.ledger
        if self._config.ledger_check is not None:
            self._clear(ledger, line)

        def write(seq: int) -> bool:
            if seq in self._here and self.found[seq].sha256 == line[seq].sha256:
                return False
            appfolders.keep(ledger, self._path(seq), line[seq].body)
            return True

        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            return sum(pool.map(write, sorted(line)))

    def _clear(self, ledger: Path, line: Mapping[int, Entry]) -> None:
        numbered = [path for path in sorted(ledger.iterdir()) if FILE.fullmatch(path.name) and appfolders.is_file(path)]
        for path in numbered:
            if int(path.stem) not in line and self._kept(int(path.stem)) is None:
                log.warning("what is no entry of the ledger is removed", path=str(path))
                appfolders.remove(ledger, path)
