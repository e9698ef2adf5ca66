"""fetch-ledger: every ledger entry that any vault holds, merged into one run without a gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from resilience.errors import BrokenChain, ResilienceError, VaultError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.config import Config
from resilience.replication.epoch import each
from resilience.replication.fetch_media import keep

FETCHERS = 12
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Fetch the whole ledger; entries that are here already stay as they are."""
    vaults = config.open()
    answers = each(vaults, lambda vault: vault.list(layout.LEDGER))
    listed = {name: a for name, a in answers.items() if not isinstance(a, ResilienceError)}
    if not listed:
        raise VaultError(
            "The ledger cannot be read.",
            "; ".join(f"{n}: {a.why}" for n, a in answers.items() if isinstance(a, ResilienceError)),
            "Without it nobody knows what was taken down. Bring a vault back and run this again.",
        )
    chosen, forked = choose((key for keys in listed.values() for key in keys), config.record.number)
    identity = config.key()
    ledger = config.paths.ledger

    def fetch(seq: int) -> bool:
        path = ledger / f"{seq:08d}.json"
        if path.exists():
            return False
        holders = [vaults[name] for name, keys in listed.items() if chosen[seq] in keys]
        keep(ledger, path, _read(chosen[seq], holders, identity))
        return True

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        fetched = sum(pool.map(fetch, sorted(chosen)))
    return {"entries": len(chosen), "fetched": fetched, "forked": forked}


def choose(keys: Iterable[str], newest: int) -> tuple[dict[int, str], list[str]]:
    """Of each number the entry of the newest epoch, without a gap; the others are told as forked.

    An entry that a fenced site still put after its successor went on was acknowledged to nobody.
    What is no entry's name, or names an epoch after `newest`, was put there by nobody who may.
    """
    by_epoch: dict[int, dict[int, str]] = {}
    for key in set(keys):
        named = layout.ENTRY.fullmatch(key)
        if named and int(named["epoch"]) <= newest:
            by_epoch.setdefault(int(named["epoch"]), {})[int(named["seq"])] = key
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


def _read(key: str, holders: list[Vault], identity: str) -> bytes:
    """One entry from the first vault that has it whole."""
    told = []
    for vault in holders:
        try:
            data = vault.get(key)
            if data is not None:
                return seals.decrypt(data, identity)
            told.append(f"{vault.name}: gone")
        except ResilienceError as error:
            told.append(f"{vault.name}: {error.why}")
    raise BrokenChain(
        f"a readable {key} ({'; '.join(told)})",
        "the entry before it",
        "Bring back a vault that holds it; nothing may be opened before every takedown is known.",
    )
