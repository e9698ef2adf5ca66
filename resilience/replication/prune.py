"""prune: what lies before a snapshot that was proven good is removed from one vault for good, by the operator alone.

Records of epochs are kept for ever, and of every epoch at least the last chunk: only what a newer chunk of the
same epoch makes superfluous goes. Without `--really` nothing is touched, and it says what would go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from resilience.errors import Refused, ResilienceError, UsageError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn, packing
from resilience.replication import label as labels
from resilience.replication.base import cut_off
from resilience.replication.config import Config, VaultConfig
from resilience.replication.forward import Forward
from resilience.replication.label import Label
from resilience.replication.originals import KeepsHidden, read_good
from resilience.replication.restic import Repository

AT_ONCE = 8
log = structlog.get_logger()


@dataclass(frozen=True)
class Unlabelled:
    """Copies of the database that nothing restores, since no label names them: a snapshot ended half-way, or was given up."""

    gone: Mapping[str, Sequence[str]]
    """By repository what may go; one that lists nothing has data left that an earlier run was to remove, or that a backup put."""
    waiting: Sequence[str]
    """Those in the base's own epoch that may still get a label."""


def main(
    config: Config,
    vault: str | None,
    proven: Sequence[str] | None,
    unlabelled: Sequence[str] | None,
    really: bool,  # noqa: FBT001
) -> dict[str, Any]:
    """Remove what lies before the oldest of these snapshots: older ones, their labels, and WAL that only they need; how much of each.

    And copies that no label names: all of older epochs, and of the base's own those that the operator saw without one long enough.
    """
    spec = next((v for v in config.vaults if v.name == vault), None)
    if spec is None or not proven:
        raise UsageError("prune takes --vault and --proven.", "It works on one vault at a time.", "Give both.")
    opened = config.open((spec.name,))
    known = Forward(config, opened).known
    found = [label for group in labels.find(opened, known, config.verify) for label in group]
    named = [label for snapshot in proven for label in _naming(opened[spec.name], found, snapshot)]
    base = _base(spec.name, named, proven)
    if cut_off(opened, known, base):
        raise Refused(
            f"The snapshot {base.snapshot} in {spec.name} is of a history that was cut off.",
            "What the newest site wrote goes on from before it, and an older snapshot may be the only one that leads there.",
            "Nothing was removed. `resilience verify`: once a snapshot of what goes on is proven for keep_days, prune goes by that.",
        )
    older = _older(found, base)
    position = base.needs_from
    keys = [
        key
        for number in known
        if number <= base.epoch
        for key in _needless(opened[spec.name], known[number], position, base)
    ]
    without = _unlabelled(opened[spec.name], base, older, unlabelled or ())
    told = {
        "vault": spec.name,
        "before": base.start_lsn,
        "snapshots": len(older),
        "chunks": len(keys),
        "unlabelled": sum(map(len, without.gone.values())),
        "waiting": list(without.waiting),
    }
    held = _remove(config, spec, opened[spec.name], older, without, keys, base) if really else []
    times = Counter(label.snapshot for label in named)
    differ = sorted(label.key for label in named if times[label.snapshot] > 1)
    return {**told, "differ": differ, "removed": really, "held_back": len(held), **({"why": held[0]} if held else {})}


def _unlabelled(vault: Vault, base: Label, older: Sequence[Label], aged: Sequence[str]) -> Unlabelled:
    """What no label names, by names and the operator's own word alone: when it was taken, whoever took it may have made up."""
    gone: dict[str, list[str]] = {}
    labelled = {label.snapshot for label in older}
    for number in range(1, base.epoch):
        for folder in (layout.repository(number), layout.standby_repository(number)):
            there = [snapshot for snapshot in _snapshots(vault, folder) if snapshot not in labelled]
            if there or vault.list(f"{folder}/data/"):
                gone[folder] = there
    hidden = vault.hidden(layout.LABEL) if isinstance(vault, KeepsHidden) else ()
    names = tuple(pair[0] for key in (*vault.list(layout.LABEL), *hidden) if (pair := layout.labelled(key)) is not None)
    waiting: list[str] = []
    for folder in (layout.repository(base.epoch), layout.standby_repository(base.epoch)):
        there = [snapshot for snapshot in _snapshots(vault, folder) if not snapshot.startswith(names)]
        if known := [snapshot for snapshot in there if snapshot in aged]:
            gone[folder] = known
        waiting += [snapshot for snapshot in there if snapshot not in aged]
    return Unlabelled(gone, waiting)


def _snapshots(vault: Vault, folder: str) -> list[str]:
    """Ids of the snapshots in a repository; none where there is no such repository."""
    return [key.rpartition("/")[2] for key in vault.list(layout.snapshot(folder, ""))]


def _naming(vault: Vault, found: Sequence[Label], snapshot: str) -> list[Label]:
    """The labels of a snapshot: where any of them names a repository that has it, those alone. Whoever has a site's key signs others."""
    labels = [label for label in found if label.snapshot == snapshot]
    return [label for label in labels if vault.list(layout.snapshot(label.repository, snapshot))] or labels


def _base(vault: str, named: Sequence[Label], proven: Sequence[str]) -> Label:
    """The oldest of what was proven, by whichever of its labels says so: a newer one may be made up, and WAL that is needed would go.

    VaultError where one of these has no label any more.
    """
    if lacking := sorted(set(proven) - {label.snapshot for label in named}):
        raise VaultError(
            f"{vault} holds no label that can be believed for {', '.join(lacking)}.",
            "It was verified, so it was there, and what is older may be all that this vault has.",
            "Nothing was removed. `resilience verify`: prune goes on once a newer one is proven for keep_days.",
        )
    return min(named, key=lambda label: (label.epoch, label.start))


def _older(found: Sequence[Label], base: Label) -> list[Label]:
    """Labels whose snapshots may go: what the base, or a newer label, names as well is no older one, whoever signed that it were."""

    def before(label: Label) -> bool:
        return (label.epoch, label.start) < (base.epoch, base.start)

    needed = {(label.repository, label.snapshot) for label in found if not before(label)}
    return [label for label in found if before(label) and (label.repository, label.snapshot) not in needed]


def _needless(vault: Vault, epoch: EpochRecord, position: int, base: Label) -> list[str]:
    """Chunks of an epoch that end before the position: a later one begins at or before it, and reaches past it."""
    starts = _starts(vault, epoch.number)
    before = _superfluous(starts, position)
    gone = [layout.chunk(epoch.number, start) for start in starts if start < before]
    if gone and epoch.number == base.epoch:
        _refuse_gap(vault, epoch, starts, position)
    return gone


def _superfluous(starts: Sequence[int], position: int) -> int:
    """Before which chunks may go: none that may hold the position, whatever somebody put between that one and it."""
    nearest = max((start for start in starts if start <= position), default=0)
    return min(nearest, max(0, position - packing.LIMIT))


def _starts(vault: Vault, number: int) -> list[int]:
    """Where each chunk of an epoch begins that this vault lists."""
    keys = vault.list(layout.wal(number))
    return sorted(start for key in keys if (start := layout.chunk_start(key)) is not None)


def _refuse_gap(vault: Vault, epoch: EpochRecord, starts: Sequence[int], position: int) -> None:
    """Refused unless one of the chunks that are kept really holds the position from which the snapshot replays."""

    def holds(start: int) -> bool:
        found = read_good(vault, layout.chunk(epoch.number, start), lambda data: chunk.decode(data, epoch))
        return isinstance(found, tuple) and found[1][0].start == start and found[1][0].end > position

    if not any(holds(s) for s in reversed(starts) if position - packing.LIMIT <= s <= position):
        raise Refused(
            f"{vault.name} has no whole chunk at {lsn.show(position)}, where the snapshot's WAL begins.",
            "With the older ones removed, nothing could be restored from this vault alone.",
            "Verify this vault (`resilience verify --vault NAME`); nothing was removed.",
        )


def _remove(
    config: Config,
    spec: VaultConfig,
    vault: Vault,
    older: Sequence[Label],
    without: Unlabelled,
    keys: Sequence[str],
    base: Label,
) -> list[str]:
    """Snapshots first: only once restic is done their labels go, by which a run after one that failed knows them, then WAL; what the vault holds back.

    An object that is locked goes with a later run, once its lock has ended.
    """
    folders = {label.repository for label in older} | without.gone.keys()
    if folders or keys:
        _refuse_damaged(Repository(config.paths.restic, spec, base.repository), base)
    for folder in sorted(folders):
        mine = [label.snapshot for label in older if label.repository == folder]
        Repository(config.paths.restic, spec, folder).forget([*mine, *without.gone.get(folder, ())])
    held = _erase(vault, [label.key for label in older])
    held += _erase(vault, keys) + _erase(vault, _hidden(config, spec, vault, base))
    log.info("pruned", vault=spec.name, snapshots=len(older), chunks=len(keys), held_back=len(held))
    return held


def _refuse_damaged(repository: Repository, base: Label) -> None:
    """An error unless restic has the base, and finds all that the snapshots beside it need: since it was proven it may have rotted."""
    if base.snapshot not in repository.snapshots():
        raise VaultError(
            f"{base.vault} has no snapshot {base.snapshot} in {base.repository}/, though its label is there.",
            "Somebody removed it, and what is older may be all that this vault has.",
            "Nothing was removed. Take a new snapshot, and verify this vault (`resilience verify --vault NAME`).",
        )
    repository.check()


def _erase(vault: Vault, keys: Sequence[str]) -> list[str]:
    """Every version of each; why, for each that the vault holds back."""

    def held_back(key: str) -> str:
        try:
            vault.erase(key)
        except ResilienceError as error:
            return f"{error.what}: {error.why}"[:300]
        return ""

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return [why for why in pool.map(held_back, keys) if why]


def _hidden(config: Config, spec: VaultConfig, vault: Vault, base: Label) -> list[str]:
    """What restic deleted, or an earlier run hid, and the store keeps: of the base's epoch and older ones.

    Somebody may have hidden what is needed. So restic must find all that its snapshots need before anything of a repository goes,
    and of WAL and labels only what lies before the base may.
    """
    if not isinstance(vault, KeepsHidden):
        return []
    found = [key for key in vault.hidden(layout.LABEL) if key[: labels.NAMED] < base.key[: labels.NAMED]]
    position = base.needs_from
    for number in range(1, base.epoch + 1):
        before = _superfluous(_starts(vault, number), position)
        found += [key for key in vault.hidden(layout.wal(number)) if (layout.chunk_start(key) or before) < before]
        for folder in (layout.repository(number), layout.standby_repository(number)):
            if gone := vault.hidden(f"{folder}/"):
                Repository(config.paths.restic, spec, folder).check()
                found += gone
    return found
