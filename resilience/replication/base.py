"""The base: a data directory brought from a snapshot, and the marker that says whose it is."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import NoSnapshot, Refused, ResilienceError
from resilience.model import EpochRecord, Unknown
from resilience.ports import Vault
from resilience.replication import disk, label, lsn
from resilience.replication.brought import refuse_planted
from resilience.replication.config import Config, VaultConfig, made_anew, ours, unfinished, write_atomic
from resilience.replication.label import Label
from resilience.replication.patient import PATIENCE
from resilience.replication.restic import Repository, Stalled
from resilience.replication.trace import astray, child_of, legs

MARKER = "resilience.json"
WAL = "pg_wal"
"""Where Postgres keeps its WAL; WAL that is complete before it starts is put there, and read in place."""
CLONING, FOLLOWING, RESTORING = "cloning", "following", "restoring"
"""States of a copy that nobody ever wrote to, so that it may be made anew."""
log = structlog.get_logger()


def _marked(config: Config) -> dict[str, Any]:
    """The marker in the data directory, whosever it is."""
    try:
        value: dict[str, Any] = json.loads((config.paths.pg / MARKER).read_text())
    except (OSError, ValueError):
        return {}
    return value


def cloning(config: Config) -> bool:
    """Whether what is there is the beginning of such a copy."""
    return _marked(config).get("state") == CLONING


def following(config: Config) -> dict[str, Any] | None:
    """The marker of a copy that follows, under whatever epoch it began; None when it is no such copy."""
    value = _marked(config)
    return value if value.get("state") == FOLLOWING else None


def marker(config: Config) -> dict[str, Any] | None:
    """What an earlier run left in the data directory for this very epoch; None when nothing."""
    value = _marked(config)
    return value if value.get("nonce") == config.record.nonce else None


def refuse_another(config: Config) -> None:
    """Refused unless the data directory came into being under this epoch, or under the one that it continues; on the first day nothing is noted."""
    nonces, own = {config.record.nonce}, config
    while (before := own.before) is not None:
        own = before
        nonces.add(own.record.nonce)
    noted = _marked(config).get("nonce")
    if noted not in nonces and (noted or own.record.parent):
        raise Refused(
            f"{config.paths.pg} is not the database that epoch {config.record.number} was sealed for.",
            "It was neither restored nor brought to its end under that epoch: a failover or a restore to here stopped half-way.",
            "Nothing of it was shipped. Type the command that stopped again: it goes on.",
        )


def mark(config: Config, state: str, **facts: object) -> None:
    """Note how far we got."""
    value = {"nonce": config.record.nonce, "epoch": config.record.number, "state": state, **facts}
    write_atomic(config.paths.pg / MARKER, json.dumps(value, indent=1).encode())


def refuse_foreign(config: Config, before: Mapping[str, Any] | None) -> None:
    """Never write over a data directory that is not the rest of our own earlier attempt."""
    pg = config.paths.pg
    begun = unfinished(pg / MARKER)
    if before is None and pg.exists() and any(entry != begun for entry in pg.iterdir()):
        raise Refused(
            f"{pg} is not empty, and not from an earlier restore under this epoch.",
            "It may be somebody's only copy.",
            "Move it away, or restore to a fresh host.",
        )


def fitting(config: Config, groups: Iterable[list[Label]]) -> Iterator[list[Label]]:
    """Snapshots that this machine can run; Refused where there are some and none of them fits."""
    refused, fits = None, False
    with ThreadPoolExecutor(max_workers=1) as aside:
        here = aside.submit(_here, config)  # while the first labels are read
        for group in groups:
            unfit = _unfit(here.result(), group[0])
            if unfit is None:
                fits = True
                yield group
            else:
                log.warning("a snapshot does not fit this machine", snapshot=group[0].snapshot, what=unfit.what)
                refused = refused or unfit
    if refused is not None and not fits:
        raise refused


def _here(config: Config) -> dict[str, str]:
    """Of what kind this machine and its Postgres are."""
    argv = [str(config.postgres.bin / "postgres"), "--version"]
    words = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return {"arch": platform.machine(), "postgres": words[2]}


def _unfit(here: Mapping[str, str], found: Label) -> Refused | None:
    """A physical copy runs only where machine and Postgres are of the same kind."""
    theirs = {"arch": found.versions["arch"], "postgres": found.versions["postgres"].split()[0]}
    if here["arch"] != theirs["arch"] or here["postgres"].split(".")[0] != theirs["postgres"].split(".")[0]:
        return Refused(
            f"The snapshot is from Postgres {theirs['postgres']} on {theirs['arch']}.",
            f"Here is Postgres {here['postgres']} on {here['arch']}, which cannot run it.",
            "Restore to a host of the same kind.",
        )
    return None


def bring(config: Config, group: list[Label], state: str) -> Label | Unknown:
    """The data directory from the first vault, or else mirror, that gives all of it; the label names which, or why none did.

    Who stalls is passed over, and asked again, for as long as it takes, where nobody else has it. What no snapshot of ours
    holds counts as damaged.
    """
    places = list(_places(config, group))
    why: dict[str, str] = {}
    for patience in (PATIENCE, None):
        stalled = []
        for choice, place, where in places:
            try:
                repository = Repository(config.paths.restic, where, choice.repository)
                repository.restore(choice.snapshot, choice.path, config.paths.pg, patience, but=MARKER)
                refuse_planted(config.paths.pg)
            except disk.DiskFull as error:
                empty(config.paths.pg, but=MARKER)
                raise disk.full(config.paths.pg, error.size) from error
            except ResilienceError as error:
                log.warning("a snapshot cannot be restored", vault=place, what=error.what, why=error.why)
                why[place] = f"{place}: {error.what} {error.why}"
                stalled += [(choice, place, where)] if isinstance(error, Stalled) else []
                afresh(config, state)
                continue
            return replace(choice, vault=place)
        places = stalled
    return Unknown("; ".join(why.values()) or "none of its vaults is opened here")


def _places(config: Config, group: list[Label]) -> Iterator[tuple[Label, str, VaultConfig]]:
    """Where each of these may be: in its vault, and after all vaults in mirrors."""
    choices = {(choice.vault, choice.snapshot): choice for choice in group}.values()
    for choice in choices:
        yield from ((choice, vault.name, vault) for vault in config.vaults if vault.name == choice.vault)
    for choice in choices:
        yield from ((choice, m.name, m.stands_for) for m in config.mirrors if choice.key in m.labels)


def finish(config: Config, used: Label) -> None:
    """Put the label's files beside restic's, and give everything to Postgres' user."""
    pg = config.paths.pg
    for name, data in (("backup_label", used.backup_label.encode()), ("global/pg_control", used.control)):
        with made_anew(pg / name) as file:
            file.write(data)
    own(config, [*pg.rglob("*"), pg])
    pg.chmod(0o700)


def owner_of(config: Config) -> tuple[int, int]:
    """Postgres' user and group."""
    user = pwd.getpwnam(config.postgres.user)
    return user.pw_uid, user.pw_gid


def own(config: Config, paths: Iterable[Path]) -> None:
    """Give these to Postgres' user."""
    owner = owner_of(config)
    for path in paths:
        os.chown(path, *owner, follow_symlinks=False)


def afresh(config: Config, state: str) -> None:
    """An empty data directory, but for the marker: it is there before anything is removed, so that whoever is killed here may go on.

    Root's alone until `finish`: what still runs as Postgres' user could lead elsewhere whoever writes there.
    """
    ours(config.paths.pg)
    config.paths.pg.chmod(0o700)
    if os.path.lexists(begun := unfinished(config.paths.pg / MARKER)):
        _remove(begun)  # a snapshot may have brought it, as a folder
    mark(config, state)
    empty(config.paths.pg, but=MARKER)


def empty(folder: Path, but: str | None = None) -> None:
    """Remove what a half-made copy left."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.name != but:
            _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def cut_off(vaults: Mapping[str, Vault], known: Mapping[int, EpochRecord], found: Label) -> bool:
    """Whether the newest history has left this snapshot's behind."""
    position = lsn.segment_start(found.start, found.segment_size)
    passed = astray(legs(known, child_of(known[max(known)]), vaults, (), position, None), found)
    if passed:
        log.warning("a snapshot is of a history that was cut off", snapshot=found.snapshot, stop=found.stop_lsn)
    return passed


def clone(config: Config, vaults: Mapping[str, Vault], known: Mapping[int, EpochRecord]) -> dict[str, Any]:
    """A copy to follow with, from the newest snapshot that a vault has whole; its marker."""
    refuse_foreign(config, {} if cloning(config) or following(config) else None)
    tried = 0
    for group in fitting(config, label.find(config.labelled(vaults), known, config.verify)):
        if cut_off(vaults, known, group[0]):
            continue
        tried += 1
        afresh(config, CLONING)
        empty(config.paths.wal)
        used = bring(config, group, CLONING)
        if isinstance(used, Unknown):
            continue
        finish(config, used)
        disk.settle(config)
        mark(
            config,
            FOLLOWING,
            snapshot=used.snapshot,
            vault=used.vault,
            from_epoch=used.epoch,
            start_lsn=used.start_lsn,
            segment_size=used.segment_size,
            system_id=used.system_id,
            at=used.at,
        )
        own(config, [config.paths.pg / MARKER])
        return following(config) or {}
    raise NoSnapshot(
        "No vault holds a snapshot that can be used.",
        f"{tried} could be believed by their labels; none could be brought.",
        "Look at label/ in the vaults, and take a new snapshot at the primary.",
    )
