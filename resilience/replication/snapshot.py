"""snapshot: a copy of the data directory into each vault, and the label that makes it usable."""

from __future__ import annotations

import base64
import json
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import structlog

from resilience.errors import Refused, ResilienceError, VaultError
from resilience.replication import label as labels
from resilience.replication import layout, lsn, notes, report, sessions
from resilience.replication.config import Config, VaultConfig
from resilience.replication.label import Label
from resilience.replication.restic import Repository
from resilience.replication.standby import one

EMPTIED = (
    "pg_wal",
    "pg_replslot",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
)
LEFT_OUT = (
    "postmaster.pid",
    "postmaster.opts",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "backup_manifest",
    "standby.signal",
    "recovery.signal",
    "resilience.json",
    "global/pg_control",
    "log",
)
EVERYWHERE = ("pgsql_tmp*", "pg_internal.init*")
TEMPORARY = "base/*/t[0-9]*_[0-9]*"
"""Relations of one connection alone, which end with it."""
UNLOGGED = ("", ".*", "_fsm", "_vm")
"""Files of an unlogged relation that are left out; `_init`, which makes it empty, is not."""
CONFIRM_WITHIN = 120.0
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Take a snapshot into each vault of the epoch at once; fails only when no vault has one."""
    sign = config.sign()
    refuse_links(config.paths.pg)
    chosen = [v for v in config.vaults if v.name in config.record.vaults]
    folder = layout.repository(config.record.number)
    with sessions.superuser(config.postgres.dsn) as db:
        about = facts(db)
        start = one(db, "SELECT pg_backup_start('resilience', fast => true)")
        results = copy_into_each(config, chosen, folder)
        control = read_control(config.paths.pg / "global/pg_control")
        stop, backup_label = db.execute(
            "SELECT lsn::text, labelfile FROM pg_backup_stop(wait_for_archive => false)"
        ).fetchone() or ("", "")
    taken = {name: snapshot for name, snapshot in results.items() if isinstance(snapshot, str)}
    failed = {name: f"{e.what}: {e.why}" for name, e in results.items() if isinstance(e, ResilienceError)}
    if not taken:
        raise VaultError("No vault took the snapshot.", "; ".join(failed.values()), "Nothing was labelled; try again.")
    wait_confirmed(config, lsn.parse(stop))
    for name, snapshot in taken.items():
        label = Label(
            epoch=config.record.number,
            nonce=config.record.nonce,
            site=config.site,
            vault=name,
            snapshot=snapshot,
            repository=folder,
            path=str(config.paths.pg),
            start_lsn=str(start),
            stop_lsn=stop,
            backup_label=backup_label,
            pg_control=base64.b64encode(control).decode(),
            at=time.time(),
            **about,
        )
        try:
            config.open((name,))[name].put_new(label.key, labels.encode(label, sign))
        except ResilienceError as error:
            failed[name] = f"{error.what}: {error.why}"
            log.warning("a snapshot cannot be labelled", vault=name, what=error.what, why=error.why)
    labelled = {name: snapshot for name, snapshot in taken.items() if name not in failed}
    if not labelled:
        raise VaultError("No vault took a label.", "; ".join(failed.values()), "No snapshot counts; try again.")
    told = {"at": time.time(), "nonce": config.record.nonce, "start_lsn": str(start), "vaults": sorted(labelled)}
    notes.keep(config, "snapshot", told)
    return {"snapshots": labelled, "failed": failed, "start_lsn": start, "stop_lsn": stop}


def copy_into_each(config: Config, vaults: Sequence[VaultConfig], folder: str) -> dict[str, str | ResilienceError]:
    """A snapshot in each of these vaults' repositories at once, or why there is none, by name."""
    with ThreadPoolExecutor(max_workers=len(vaults)) as pool:
        copied = pool.map(lambda vault: copy_into(config, vault, folder), vaults)
        return dict(zip([vault.name for vault in vaults], copied, strict=True))


def copy_into(config: Config, vault: VaultConfig, folder: str) -> str | ResilienceError:
    """The id of a snapshot in this vault's repository, or why there is none."""
    try:
        pg = config.paths.pg
        excludes = [f"{pg}/{name}/*" for name in EMPTIED] + [f"{pg}/{name}" for name in (*LEFT_OUT, TEMPORARY)]
        excludes += EVERYWHERE
        known = unlogged(pg)
        excludes += [f"{path}{rest}" for path in known for rest in UNLOGGED]
        place = Repository(config.paths.restic, vault, folder)
        settings = [path for path in config.paths.settings if path.exists()]
        taken = place.backup(pg, settings, excludes, config.site, f"epoch-{config.record.number}")
        return _without_new(pg, known) or taken
    except ResilienceError as error:
        log.warning("no snapshot in this vault", vault=vault.name, what=error.what, why=error.why)
        return error


def unlogged(pg: Path) -> list[str]:
    """Relations that no WAL has, by the path of their data: as after a crash, whoever starts a copy finds them empty."""
    return sorted(str(path).removesuffix("_init") for path in pg.glob("base/*/*_init"))


def _without_new(pg: Path, known: Sequence[str]) -> VaultError | None:
    """An error where an unlogged relation was made while the copy was: it may have what is to be in none."""
    new = sorted(set(unlogged(pg)) - set(known))
    if not new:
        return None
    what = f"{len(new)} unlogged relation(s) were made while the snapshot was taken: {', '.join(new[:3])}"
    return VaultError(what, "What they hold is to be in no copy, and this one may have it.", "Take the snapshot again.")


def refuse_links(pg: Path) -> None:
    """Refused where something in the data directory is a link: whoever restores takes such a copy for one that a thief made."""
    apart = {*EMPTIED, *LEFT_OUT}
    paths = (Path(folder, name) for folder, folders, files in os.walk(pg) for name in (*folders, *files))
    links = sorted(str(path.relative_to(pg)) for path in paths if path.is_symlink())
    if found := [name for name in links if name.partition("/")[0] not in apart or name == "pg_wal"]:
        raise Refused(
            f"In the data directory there are links: {', '.join(found[:3])}.",
            "A copy that has any is restored nowhere, since a thief could lead a restore anywhere by one.",
            f"Stop Postgres, put what they lead to in their place below {pg}, and start it again.",
        )


def facts(db: psycopg.Connection[Any]) -> dict[str, Any]:
    """What a label says of the server; Refused where a copy of one folder would not be all of it."""
    others = one(db, "SELECT string_agg(spcname, ', ') FROM pg_tablespace WHERE spcname !~ '^pg_'")
    if others:
        raise Refused(
            f"There are tablespaces outside the data directory: {others}.",
            "A snapshot of one folder would not be the whole database.",
            "Move their tables into pg_default and drop them.",
        )
    row = db.execute(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),"
        " (SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'), current_setting('server_version'),"
        " (SELECT datcollate || ' ' || coalesce(datcollversion, '-') FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    if row is None:
        raise AssertionError
    return {
        "system_id": row[0],
        "timeline": row[1],
        "segment_size": row[2],
        "versions": {"postgres": row[3], "collation": row[4], "arch": platform.machine()},
    }


def read_control(path: Path) -> bytes:
    """pg_control, read until two readings agree: Postgres may be writing it."""
    before = b""
    while (after := path.read_bytes()) != before:
        before = after
    return after


def wait_confirmed(config: Config, position: int) -> None:
    """Wait until ship says that k vaults hold everything up to `position`; as long as it comes nearer."""
    deadline = time.monotonic() + CONFIRM_WITHIN
    path = config.paths.run / report.NAME
    told = "ship has not written its status"
    while time.monotonic() < deadline:
        if path.exists():
            facts = json.loads(path.read_text())
            if facts["nonce"] == config.record.nonce and lsn.parse(facts["confirmed_lsn"]) >= position:
                return
            now = f"ship has confirmed {facts['confirmed_lsn']} in epoch {facts['epoch']}"
            if now != told:
                told, deadline = now, time.monotonic() + CONFIRM_WITHIN
        time.sleep(0.1)
    raise VaultError(
        f"Nothing more of the WAL that the snapshot needs was confirmed for {CONFIRM_WITHIN:.0f} s: "
        f"up to {lsn.show(position)}",
        f"{told}.",
        "No label was written. Look at ship (`status`) and take the snapshot again.",
    )
