"""The ledger's anchor: how many entries came before an epoch, counted in all vaults, and said there."""

from __future__ import annotations

from functools import cache, partial

from resilience.engine.accepting import way_past
from resilience.engine.run import Run
from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import EpochRecord
from resilience.replication import anchors, layout
from resilience.replication.epoch import continues, each, numbered
from resilience.replication.fetch_ledger import choose, counted, going_on, leading, shippers, unopened


def anchor(run: Run) -> int:
    """How many ledger entries came before this epoch: by their names in the vaults, and no fewer than its site has read there.

    TooFewVaults where one that counted could be missed. None can where this epoch only changes the vault set: the host wrote
    the entries of the one before, and has them.
    """
    epoch = run.newest()
    entries, doubt = _count(run, epoch)
    entries = max(entries, int(run.found("ledger", epoch.site).get("held", 0)))
    goes_on = _goes_on(run, epoch)
    if doubt and not goes_on and not run.accepts(epoch, "stale-ledger"):
        raise TooFewVaults(
            f"Not every vault says what was taken down: {doubt}.",
            "What only the others hold would be shown again.",
            "Nothing was opened. Bring a vault back and run the same command again; where they are gone for good, "
            f"{way_past(run, 'stale-ledger', epoch.site)}.",
        )
    if epoch.parent and not (doubt and goes_on):
        anchors.leave(run.world.vaults, epoch, entries, run.world.signer.sign, run.world.signer.verify)
    return entries


def note(run: Run, epoch: EpochRecord) -> bool:
    """Say how many entries came before an epoch that changes the vault set; False where that can't be told, or is not heard.

    Without it the vaults of older epochs are asked, too, when the ledger is read.
    """
    entries, doubt = _count(run, epoch)
    if doubt:
        return False
    try:
        anchors.leave(run.world.vaults, epoch, entries, run.world.signer.sign, run.world.signer.verify)
    except TooFewVaults:
        return False
    return True


def _goes_on(run: Run, epoch: EpochRecord) -> bool:
    older = numbered(run.world.vaults, epoch.parent, run.world.signer.verify) if epoch.parent else []
    return bool(older) and all(continues(epoch, record) for record in older)


def _count(run: Run, epoch: EpochRecord) -> tuple[int, str]:
    """How many entries came before, and why one may have been missed; empty where none can have been."""
    answers = each(run.world.vaults, lambda vault: vault.list(layout.LEDGER))
    listed = {name: keys for name, keys in answers.items() if not isinstance(keys, ResilienceError)}
    keys, before = [key for found in listed.values() for key in found], epoch.number - 1
    answering, check = {name: run.world.vaults[name] for name in listed}, run.world.signer.verify
    asked = (answering, keys, before, check)
    doubt = anchors.too_few(anchors.to_ask(*asked), listed) if listed else "no vault lists the ledger"
    names, _ = choose(keys, before, unopened(*asked), going_on(*asked), leading(*asked))
    return counted(answering, listed, names, cache(partial(shippers, answering, check=check))), doubt
