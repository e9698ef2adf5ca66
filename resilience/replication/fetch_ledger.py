"""fetch-ledger: every ledger entry that any vault holds, merged into one run without a gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import structlog

from resilience.errors import ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.anchors import Ledgers, of_number, read, to_ask, too_few
from resilience.replication.chunk import Opening, decode_opening
from resilience.replication.config import Config
from resilience.replication.entries import entry
from resilience.replication.epoch import each
from resilience.replication.lineage import Lineage, holders, put_under, refuse_gap, refuse_more
from resilience.replication.originals import Altered, as_put, read_good
from resilience.replication.records import may_be_held
from resilience.replication.seals import Verify

FETCHERS = 12
ROUNDS = 1000
"""Entries in a row that no listing names: more than any listing is behind."""
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Fetch the ledger for a site that is opened: of epochs before its own, for what it wrote itself it has.

    Whoever had an older primary's credentials may have put entries under the epoch that is opened, before it was.
    """
    return fetch(config, config.record.number - 1)


def fetch(config: Config, newest: int) -> dict[str, Any]:
    """Fetch all entries of epochs up to `newest`; what is here as it should be stays as it is."""
    vaults = as_put(config.open())
    answers = each(vaults, lambda vault: vault.list(layout.LEDGER))
    listed = {name: a for name, a in answers.items() if not isinstance(a, ResilienceError)}
    silent = {name: a for name, a in answers.items() if isinstance(a, ResilienceError)}
    known = [record.record() for record in (*config.parent_epochs, config.epoch)]
    _refuse_too_few(Ledgers((known[-1],)), listed, silent)
    answering = {name: vaults[name] for name in listed}
    _look_further(answering, listed, newest, lambda vault, key: entry(vault, key, config) is not None)

    def enough(keys: list[str]) -> list[str]:
        _refuse_too_few(to_ask(answering, keys, newest, config.verify, known), listed, silent)
        return keys

    keys = enough([key for found in listed.values() for key in found])
    asked = (answering, keys, newest, config.verify, known)
    rules = unopened(*asked), going_on(*asked), leading(*asked)
    put = cache(partial(shippers, answering, check=config.verify, known=known))
    lineage = Lineage(config, answering, listed, put, lambda: _before(config, answering, known))
    names, forked = choose(keys, newest, *rules)
    while not lineage.read(names):
        names, forked = choose(lineage.keys, newest, *rules)
    entries = lineage.line()
    if lineage.passed_over:
        enough([key for key in lineage.keys if (named := layout.ENTRY.fullmatch(key)) and int(named["seq"]) in entries])
    fetched = lineage.keep(entries)
    return {"entries": len(entries), "fetched": fetched, "forked": forked, "passed_over": lineage.passed_over}


def _before(config: Config, vaults: Mapping[str, Vault], known: Iterable[EpochRecord]) -> int | None:
    """How many entries came before this host began to write; None where the operator has not said so yet."""
    began = next(record for record in known if record.number == config.root)
    return read(vaults, began, config.verify) if began.parent else 0


def _refuse_too_few(ledgers: Ledgers, listed: Mapping[str, list[str]], silent: Mapping[str, ResilienceError]) -> None:
    """VaultError when an entry may be in silent vaults alone; vaults that were not given were declared lost before."""
    doubt = too_few(ledgers, listed) if listed else "no vault lists it"
    if listed and not (silent and doubt):
        return
    raise VaultError(
        f"The ledger cannot be read whole: {doubt}.",
        "; ".join(f"{n}: {a.why}" for n, a in silent.items()),
        "Without it nobody knows what was taken down. Bring a vault back and run this again; where it is gone for good, "
        "plan anew with its vendor as lost (`--lost`), and accept `stale-ledger` by name.",
    )


def _look_further(
    vaults: Mapping[str, Vault], listed: dict[str, list[str]], newest: int, opens: Callable[[Any, str], bool]
) -> None:
    """A listing may be stale: whatever may come next is asked for by name, in each vault, until nobody has it.

    That a vault says yes is not enough, for it may say so to everything: an entry counts where it was read and opens.
    """
    asked: set[str] = set()
    more: list[str] = []
    for _ in range(ROUNDS):
        if not (names := _next_names(listed.values(), newest) - asked):
            return
        asked |= names
        found = _holding(vaults, sorted(names), opens)
        more = [name for name, keys in found.items() if keys]
        for name, keys in found.items():
            listed[name] = [*listed[name], *keys]
    raise VaultError(
        f"The ledger has no end in {', '.join(more)}.",
        f"{ROUNDS} entries in a row were found there that no vault lists, and there are more.",
        "Look into that vault; while it makes entries up, plan anew with its vendor as lost (`--lost`).",
    )


def _next_names(listings: Iterable[Iterable[str]], newest: int) -> set[str]:
    """Of each epoch the entry after the last that is listed; where none is, the first two that it could begin with.

    A site begins with entry 1, when it hands all over again, or else goes on after what was there before it.
    """
    by_epoch, before = by_epochs(listings, newest), 0
    names: set[str] = set()
    for epoch in range(1, newest + 1):
        last = max(by_epoch.get(epoch, ()), default=0)
        names |= {layout.ledger(epoch, seq) for seq in ({last + 1} if last else {1, before + 1})}
        before = max(before, last)
    return names


def _holding(
    vaults: Mapping[str, Vault], keys: Sequence[str], opens: Callable[[Any, str], bool]
) -> dict[str, list[str]]:
    """Which of these each vault has; one that does not answer has none."""
    pairs = [(name, key) for name in vaults for key in keys]
    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        answers = list(pool.map(lambda pair: _has(vaults[pair[0]], pair[1], opens), pairs))
    held = [pair for pair, there in zip(pairs, answers, strict=True) if there]
    return {name: [key for holder, key in held if holder == name] for name in vaults}


def _has(vault: Vault, key: str, opens: Callable[[Any, str], bool]) -> bool:
    try:
        if not vault.exists(key):
            return False
        if not opens(vault, key):
            log.warning("a vault says that it has an entry, and gives none that opens", vault=vault.name, key=key)
            return False
    except ResilienceError as error:
        log.warning("an entry cannot be asked for", vault=vault.name, key=key, why=error.why)
        return False
    return True


def by_epochs(listings: Iterable[Iterable[str]], newest: int) -> dict[int, dict[int, str]]:
    """Entries by epoch and number; what is no entry's name, or of an epoch after `newest`, nobody may have put there."""
    found: dict[int, dict[int, str]] = {}
    for key in {key for keys in listings for key in keys}:
        named = layout.ENTRY.fullmatch(key)
        if named and int(named["epoch"]) <= newest:
            found.setdefault(int(named["epoch"]), {})[int(named["seq"])] = key
    return found


def choose(
    keys: Iterable[str],
    newest: int,
    unopened: Iterable[int] = (),
    going_on: Collection[int] = (),
    leading: Mapping[int, int] = MappingProxyType({}),
) -> tuple[dict[int, list[str]], list[str]]:
    """Of each number the names that count, the newest epoch's first; the others are told as forked.

    What came before an epoch counts also where its site had not yet handed it over again: `leading` says how many entries
    that were, and up to there all names of one number are the same entry's. One past them that a fenced site still put was
    acknowledged to nobody, and nobody at all could write under an epoch that was opened for no site. One that only changed
    the vault set fenced nobody: its host goes on under the number with which it began, so nothing under the later one takes
    the place of what is there.
    """
    by_epoch = by_epochs([keys], newest)
    names: dict[int, list[str]] = {}
    forked = [key for epoch in sorted(unopened) for key in sorted(by_epoch.pop(epoch, {}).values())]
    for epoch in sorted(by_epoch):
        entries = by_epoch[epoch]
        if epoch in going_on:
            forked += [entries.pop(seq) for seq in sorted(entries) if seq in names]
        last = max(names, default=0) if epoch in going_on else leading.get(epoch, max(names, default=0))
        forked += [names[seq][0] for seq in sorted(names) if seq in entries or seq > last]
        same = {seq: keys for seq, keys in names.items() if seq <= last and epoch in leading}
        names = {seq: keys for seq, keys in names.items() if seq <= last}
        names |= {seq: [key, *same.get(seq, ())] for seq, key in entries.items()}
    return names, forked


def shippers(
    vaults: Mapping[str, Vault], number: int, check: Verify, known: Sequence[EpochRecord] = ()
) -> list[EpochRecord]:
    """The epochs into whose vaults entries under this number were put: its own, and those under which its host went on."""
    found = list(of_number(vaults, number, check, known))
    hosts, after = {(record.site, record.signer) for record in found}, number + 1
    while more := [r for r in of_number(vaults, after, check, known) if (r.site, r.signer) in hosts]:
        found, after = [*found, *more], after + 1
    return found


def counted(
    vaults: Mapping[str, Vault],
    listed: Mapping[str, Collection[str]],
    names: Mapping[int, Sequence[str]],
    put: Callable[[int], Sequence[EpochRecord]],
) -> int:
    """How many entries that is, by their names alone; BrokenChain at a gap.

    At the end those are left out that too few vaults may hold for anybody to have been told of them: one vault can list what it likes.
    """
    numbers, passed_over = dict(names), Counter[str]()
    for seq in sorted(names, reverse=True):
        records = put_under(names[seq], put)
        silent = {name for record in records for name in record.vaults if name not in vaults}
        listing = [name for name in vaults if not set(names[seq]).isdisjoint(listed[name])]
        if not records or may_be_held(listing, silent, records):
            break
        if may_be_held(having := holders(vaults, listed, names[seq]), silent, records):
            break
        passed_over.update(having)
        refuse_more(passed_over)
        del numbers[seq]
    if passed_over:
        log.warning("entries are listed that too few vaults have", by_vault=dict(passed_over))
    refuse_gap(numbers)
    return len(numbers)


def unopened(
    vaults: Mapping[str, Vault], keys: Iterable[str], newest: int, check: Verify, known: Sequence[EpochRecord] = ()
) -> list[int]:
    """Of the epochs that these entries are under, those that are known to have been opened for no site."""
    numbers = sorted(by_epochs([keys], newest))

    def closed(number: int) -> bool:
        return _never_opened(vaults, number, of_number(vaults, number, check, known))

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        return [number for number, was in zip(numbers, pool.map(closed, numbers), strict=True) if was]


def going_on(
    vaults: Mapping[str, Vault], keys: Iterable[str], newest: int, check: Verify, known: Sequence[EpochRecord] = ()
) -> list[int]:
    """Of the epochs that these entries are under, those under which the host of the one before goes on."""
    numbers = sorted(by_epochs([keys], newest))

    def hosts(number: int) -> set[tuple[str, str]]:
        return {(record.site, record.signer) for record in of_number(vaults, number, check, known)}

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        found = zip(numbers, pool.map(lambda number: hosts(number) & hosts(number - 1), numbers), strict=True)
        return [number for number, same in found if same]


def leading(
    vaults: Mapping[str, Vault], keys: Iterable[str], newest: int, check: Verify, known: Sequence[EpochRecord] = ()
) -> dict[int, int]:
    """Of the epochs that these entries are under, how many entries came before, where the operator said so."""
    numbers = sorted(by_epochs([keys], newest))

    def said(number: int) -> int | None:
        counts = [read(vaults, record, check) for record in of_number(vaults, number, check, known)]
        return max((count for count in counts if count is not None), default=None)

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        found = zip(numbers, pool.map(said, numbers), strict=True)
        return {number: count for number, count in found if count is not None}


def _never_opened(vaults: Mapping[str, Vault], number: int, records: Collection[EpochRecord]) -> bool:
    """Whether no k vaults can hold an opening record; in doubt entries count, for one may have been acknowledged.

    What is no opening record of ours proves that only where no vault of the set is silent.
    """
    if not records or not all(record.parent for record in records):
        return False

    def opening(data: bytes) -> Opening | None:
        return next((said for record in records if (said := decode_opening(data, record))), None)

    told = each(vaults, lambda vault: read_good(vault, layout.opening(number), opening))
    answers = {name: answer for name, answer in told.items() if not isinstance(answer, ResilienceError)}
    if any(isinstance(answer, tuple) for answer in answers.values()):
        return False
    junk = any(isinstance(answer, Altered) for answer in answers.values())
    silent = [(record, sum(name not in answers for name in record.vaults)) for record in records]
    return all(lacking == 0 if junk else lacking < record.k for record, lacking in silent)
