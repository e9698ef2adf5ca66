"""restore: the newest good snapshot, the merged chain, put again; the opening record last.

What it leaves: a data directory with `backup_label`, WAL segments in a folder of their own, and
`resilience.json` in the data directory that says how far it got and for which epoch.
"""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import BrokenChain, Refused, ResilienceError, VaultError
from resilience.ports import Merged, Vault
from resilience.replication import chain as chains
from resilience.replication import chunk, label, layout, lsn, seals
from resilience.replication import epoch as epochs
from resilience.replication.chain import Chain
from resilience.replication.chunk import Opening
from resilience.replication.config import Config, write_atomic
from resilience.replication.gather import Gathered
from resilience.replication.label import Label
from resilience.replication.reput import put_again, put_opening
from resilience.replication.restic import Repository
from resilience.replication.segments import Segments, refuse_disagreement
from resilience.replication.trace import Leg, known_epochs, legs, own_opening

MARKER = "resilience.json"
log = structlog.get_logger()


def marker(config: Config) -> dict[str, Any] | None:
    """What an earlier run left in the data directory for this very epoch; None when nothing."""
    try:
        value: dict[str, Any] = json.loads((config.paths.pg / MARKER).read_text())
    except (OSError, ValueError):
        return None
    return value if value.get("nonce") == config.record.nonce else None


def mark(config: Config, state: str, **facts: object) -> None:
    """Note how far we got."""
    value = {"nonce": config.record.nonce, "epoch": config.record.number, "state": state, **facts}
    write_atomic(config.paths.pg / MARKER, json.dumps(value, indent=1).encode())


def main(config: Config) -> dict[str, Any]:
    """Restore, or say again what a finished restore of this epoch said."""
    before = marker(config)
    if before is not None and before["state"] != "restoring":
        return dict(before["merged"])
    ready(config)
    _refuse_foreign(config, before)
    began = time.monotonic()
    vaults = config.open()
    _refuse_shipped(config, vaults)
    known = known_epochs(config, vaults)
    opening = own_opening(config, vaults)
    tried = 0
    for tried, group in enumerate(label.find(vaults, known), start=1):  # noqa: B007 - told below
        _refuse_unfit(config, group[0])
        merged = _attempt(config, vaults, group, opening)
        if merged is not None:
            log.info("restored", seconds=round(time.monotonic() - began, 3), **asdict(merged))
            return asdict(merged)
    raise VaultError(
        "No vault holds a snapshot that can be used.",
        f"{tried} could be believed by their labels; none led to a consistent copy.",
        "Look at label/ in the vaults, and at what the log above says of each.",
    )


def _refuse_shipped(config: Config, vaults: Mapping[str, Vault]) -> None:
    """An epoch under which a host already shipped is never begun again: its own writes would be lost."""
    number = config.record.number
    answers = epochs.each(vaults, lambda vault: vault.exists(layout.first(number)))
    if any(answer is True for answer in answers.values()):
        raise Refused(
            f"Epoch {number} has already been written under, and this host holds none of it.",
            "Restoring for it would end where its parent ended, and drop everything since.",
            "Plan again (`resilience plan`): the new plan seals a newer epoch and keeps what was written.",
        )


def _refuse_foreign(config: Config, before: Mapping[str, Any] | None) -> None:
    """Never write over a data directory that is not the rest of our own earlier attempt."""
    pg = config.paths.pg
    if before is None and pg.exists() and any(pg.iterdir()):
        raise Refused(
            f"{pg} is not empty, and not from an earlier restore under this epoch.",
            "It may be somebody's only copy.",
            "Move it away, or restore to a fresh host.",
        )


def _refuse_unfit(config: Config, found: Label) -> None:
    """A physical copy runs only where machine and Postgres are of the same kind."""
    argv = [str(config.postgres.bin / "postgres"), "--version"]
    words = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    here = {"arch": platform.machine(), "postgres": words[2]}
    theirs = {"arch": found.versions["arch"], "postgres": found.versions["postgres"].split()[0]}
    if here["arch"] != theirs["arch"] or here["postgres"].split(".")[0] != theirs["postgres"].split(".")[0]:
        raise Refused(
            f"The snapshot is from Postgres {theirs['postgres']} on {theirs['arch']}.",
            f"Here is Postgres {here['postgres']} on {here['arch']}, which cannot run it.",
            "Restore to a host of the same kind.",
        )


def _attempt(config: Config, vaults: Mapping[str, Vault], group: list[Label], opening: Opening | None) -> Merged | None:
    """One snapshot, from whichever vault has it whole; None when the next older one must do."""
    first = group[0]
    _empty(config.paths.pg)
    _empty(config.paths.wal)
    mark(config, "restoring")
    position = lsn.segment_start(first.start, first.segment_size)
    with ThreadPoolExecutor(max_workers=1) as pool:
        files = pool.submit(_files, config, group)
        walked = _wal(config, vaults, first, position, opening)
        used = files.result()
    if walked is None or used is None:
        return None
    _finish_files(config, used)
    segments, parts = walked
    merged = _merged(used, parts)
    writers = config.open_to_write(config.record.vaults)
    put_again(config, writers, [(gathered, chain) for _, gathered, chain in parts])
    last, _, _ = parts[-1]
    put_opening(
        config,
        writers,
        vaults,
        Opening(
            epoch=config.record.number,
            nonce=config.record.nonce,
            parent=config.record.parent,
            end=lsn.parse(merged.end_lsn),
            confirmed=lsn.parse(merged.confirmed_lsn),
            timeline=last.start.timeline,
            system_id=merged.system_id,
            at=time.time(),
        ),
    )
    mark(config, "restored", merged=asdict(merged), segment_size=segments.size)
    _own(config, [config.paths.pg / MARKER])
    return merged


Part = tuple[Leg, Gathered, Chain]


def _wal(
    config: Config, vaults: Mapping[str, Vault], first: Label, position: int, opening: Opening | None
) -> tuple[Segments, list[Part]] | None:
    """All WAL from the snapshot on, as segment files; None when the snapshot lies past the chain's end."""
    sealed = config.sealed or config.record.vaults
    limit = opening.end if opening is not None else None
    segments = Segments(config.paths.wal / "restored", first.segment_size, config.key())
    accept = lsn.parse(config.accept_end) if config.accept_end else None
    known = known_epochs(config, vaults)
    parts: list[Part] = []
    for leg in legs(known, config.record, vaults, sealed, position, limit):
        gathered = Gathered(leg.record, vaults, sealed, config.paths.wal / "objects")
        gathered.records.update(leg.records)
        chain = gathered.walk(leg.position, leg.limit, accept, segments.arrived)
        chains.one_system(chain.headers, first.system_id)
        _same_history(config, gathered, chain)
        if leg.start.timeline > 1:
            parent = parts[-1][0].start.timeline if parts else 0
            _branch(segments, leg, parent, parts[-1][2] if parts else None)
        segments.cut(leg.start.timeline, chain.end)
        parts.append((leg, gathered, chain))
    end = parts[-1][2].end
    if end < first.stop:
        log.warning(
            "a snapshot lies past the chain's end", snapshot=first.snapshot, stop=first.stop_lsn, end=lsn.show(end)
        )
        return None
    return segments, parts


def _branch(segments: Segments, leg: Leg, parent: int, before: Chain | None) -> None:
    if before is not None and before.end < leg.start.start:
        raise BrokenChain(
            f"WAL from {lsn.show(before.end)} to {lsn.show(leg.start.start)}, where epoch {leg.record.number} began",
            before.good_until,
            "Bring back a vault that holds it.",
        )
    segments.branch(leg.start.timeline, parent, leg.start.start if before else leg.position, leg.start.history)


def _same_history(config: Config, gathered: Gathered, chain: Chain) -> None:
    pairs = chains.overlaps(chain)
    bodies = {header: chunk.split(gathered.object(header))[1] for pair in pairs for header in pair}
    refuse_disagreement(pairs, {h: chunk.open_body(h, body, config.key()) for h, body in bodies.items()})


def _merged(used: Label, parts: list[Part]) -> Merged:
    last_leg, _, last = parts[-1]
    return Merged(
        snapshot=used.snapshot,
        snapshot_vault=used.vault,
        end_lsn=lsn.show(last.end),
        confirmed_lsn=lsn.show(max(chain.confirmed for _, _, chain in parts)),
        timeline=last_leg.start.timeline,
        system_id=used.system_id,
        chunks=sum(len(chain.headers) for _, _, chain in parts),
        healed=tuple(sorted({what for _, gathered, _ in parts for what in gathered.healed})),
    )


def _files(config: Config, group: list[Label]) -> Label | None:
    """The data directory from the first vault that gives all of it."""
    for choice in group:
        vault = next(v for v in config.vaults if v.name == choice.vault)
        try:
            Repository(config.paths.restic, vault, choice.repository).restore(
                choice.snapshot, choice.path, config.paths.pg
            )
        except ResilienceError as error:
            log.warning("a snapshot cannot be restored", vault=choice.vault, what=error.what, why=error.why)
            _empty(config.paths.pg)
            mark(config, "restoring")
            continue
        return choice
    return None


def _finish_files(config: Config, used: Label) -> None:
    """Put the label's files beside restic's, and give everything to Postgres' user."""
    pg = config.paths.pg
    (pg / "backup_label").write_text(used.backup_label)
    (pg / "global/pg_control").write_bytes(used.control)
    _own(config, [pg, *pg.rglob("*"), config.paths.wal, *config.paths.wal.rglob("*")])
    pg.chmod(0o700)


def _own(config: Config, paths: list[Path]) -> None:
    user = pwd.getpwnam(config.postgres.user)
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _empty(folder: Path) -> None:
    """Remove what a half-made copy left."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def ready(config: Config) -> seals.Sign:
    """The key and identity this command needs, before it touches anything."""
    config.key()
    return config.sign()
