"""fetch-ledger: every ledger entry that any vault holds, merged into one run without a gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog

from resilience.errors import BrokenChain, ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.config import Config
from resilience.replication.entries import entry, place
from resilience.replication.epoch import each
from resilience.replication.fetch_media import keep

FETCHERS = 12
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Fetch the whole ledger; entries that are here already stay as they are."""
    vaults = config.open()
    answers = each(vaults, lambda vault: vault.list(layout.LEDGER))
    listed = {name: a for name, a in answers.items() if not isinstance(a, ResilienceError)}
    silent = {name: a for name, a in answers.items() if isinstance(a, ResilienceError)}
    for record in (*config.parent_epochs[-1:], config.epoch):
        _refuse_too_few(record.record(), listed, silent)
    _look_further(vaults, listed, config.record.number)
    chosen, forked = choose((key for keys in listed.values() for key in keys), config.record.number)
    ledger = config.paths.ledger

    def fetch(seq: int) -> bool:
        path = ledger / f"{seq:08d}.json"
        if path.exists():
            return False
        holders = [vaults[name] for name, keys in listed.items() if chosen[seq] in keys]
        keep(ledger, path, _read(config, chosen[seq], holders))
        return True

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        fetched = sum(pool.map(fetch, sorted(chosen)))
    return {"entries": len(chosen), "fetched": fetched, "forked": forked}


def _refuse_too_few(
    record: EpochRecord, listed: Mapping[str, list[str]], silent: Mapping[str, ResilienceError]
) -> None:
    """VaultError when an entry may be in silent vaults alone; vaults that were not given were declared lost before."""
    asked = [name for name in record.vaults if name in listed]
    if listed and (not silent or len(asked) > len(record.vaults) - record.k):
        return
    raise VaultError(
        f"The ledger cannot be read whole: {len(asked)} of {len(record.vaults)} vaults of epoch {record.number} answer.",
        f"{record.k} hold each entry, and they may be silent: " + "; ".join(f"{n}: {a.why}" for n, a in silent.items()),
        "Without it nobody knows what was taken down. Bring a vault back and run this again.",
    )


def _look_further(vaults: Mapping[str, Vault], listed: dict[str, list[str]], newest: int) -> None:
    """A listing may be stale: whatever may come next is asked for by name, in each vault, until nobody has it."""
    asked: set[str] = set()
    while names := _next_names(listed.values(), newest) - asked:
        asked |= names
        for name, found in _holding({name: vaults[name] for name in listed}, sorted(names)).items():
            listed[name] = [*listed[name], *found]


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


def _holding(vaults: Mapping[str, Vault], keys: Sequence[str]) -> dict[str, list[str]]:
    """Which of these each vault has; one that does not answer has none."""
    pairs = [(name, key) for name in vaults for key in keys]
    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        answers = list(pool.map(lambda pair: _has(vaults[pair[0]], pair[1]), pairs))
    held = [pair for pair, there in zip(pairs, answers, strict=True) if there]
    return {name: [key for holder, key in held if holder == name] for name in vaults}


def _has(vault: Vault, key: str) -> bool:
    try:
        return vault.exists(key)
    except ResilienceError as error:
        log.warning("an entry cannot be asked for", vault=vault.name, key=key, why=error.why)
        return False


def by_epochs(listings: Iterable[Iterable[str]], newest: int) -> dict[int, dict[int, str]]:
    """Entries by epoch and number; what is no entry's name, or of an epoch after `newest`, nobody may have put there."""
    found: dict[int, dict[int, str]] = {}
    for key in {key for keys in listings for key in keys}:
        named = layout.ENTRY.fullmatch(key)
        if named and int(named["epoch"]) <= newest:
            found.setdefault(int(named["epoch"]), {})[int(named["seq"])] = key
    return found


def choose(keys: Iterable[str], newest: int) -> tuple[dict[int, str], list[str]]:
    """Of each number the entry of the newest epoch, without a gap; the others are told as forked.

    An entry that a fenced site still put after its successor went on was acknowledged to nobody.
    """
    by_epoch = by_epochs([keys], newest)
    chosen: dict[int, str] = {}
    forked: list[str] = []
    for epoch in sorted(by_epoch):
        first = min(by_epoch[epoch])
        forked += [chosen.pop(seq) for seq in sorted(chosen) if seq >= first]
        chosen |= by_epoch[epoch]
    _refuse_gap(chosen)
    return chosen, forked


def _refuse_gap(chosen: Mapping[int, str]) -> None:
    absent = [seq for seq in range(1, max(chosen, default=0) + 1) if seq not in chosen]
    if absent:
        raise BrokenChain(
            f"ledger entry {absent[0]}",
            f"ledger entry {absent[0] - 1}",
            "Bring back a vault that holds it; nothing may be opened before every takedown is known.",
        )


def _read(config: Config, key: str, holders: list[Vault]) -> bytes:
    """One entry: as it was read here while this host followed, else from the first vault that has it whole."""
    with suppress(OSError):
        return place(config, key).read_bytes()
    told = []
    for vault in holders:
        try:
            plain = entry(vault, key, config.key())
        except ResilienceError as error:
            told.append(f"{vault.name}: {error.why}")
            continue
        if plain is not None:
            return plain
        told.append(f"{vault.name}: it is gone, or opens for nobody here")
    raise BrokenChain(
        f"a readable {key} ({'; '.join(told)})",
        "the entry before it",
        "Bring back a vault that holds it; nothing may be opened before every takedown is known.",
    )
