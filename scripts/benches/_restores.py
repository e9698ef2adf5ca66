"""Restoring a database: our commands, against restic alone and a replay without any check."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from resilience.replication import lsn
from resilience.replication.base import WAL
from resilience.replication.config import load
from resilience.replication.recover import promote
from resilience.replication.restic import Repository
from resilience.replication.segments import Segments
from resilience.replication.standby import POLL, connected, one, prepare
from scripts.benches._ahead import Ahead
from scripts.benches._copies import Ours
from scripts.benches._filled import fill
from scripts.benches._world import Site, Store, pgbench
from tests.replication.harness import site_folder, wait_until

IDLE = 0.3
"""Replay that has not moved for so long has come to its end."""
LONGEST_S = 900
SETTINGS = ("fsync = on", "shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 1h")


def restores(at: Store, gigabytes: float, times: int) -> list[dict[str, float]]:
    """Seconds, some times over: of restore and recover; of the same snapshot by restic and the same WAL by Postgres alone."""
    copy = Ours(at, 0, secrets.token_hex(4))
    with site_folder() as folder:
        acorn = copy.place(folder)
        try:
            snapshot_s = begin_filled(acorn, gigabytes)
            pgbench(acorn, "-n", "-c", "4", "-T", "10")
            shipped(acorn)
            acorn.kill_postgres()
        finally:
            acorn.end()
        shutil.rmtree(acorn.pg)
        return [{"snapshot_s": snapshot_s, **_restore(acorn, folder, number)} for number in range(times)]


def begin_filled(acorn: Site, gigabytes: float) -> float:
    """A database this large that ships, with a snapshot in every vault; seconds that the snapshot took."""
    fill(acorn, gigabytes, *SETTINGS)  # the slot begins after it: what was loaded comes with the snapshot
    acorn.start()
    acorn.ship()
    acorn.run("init-repo", config=acorn.config("operator"))
    shipped(acorn)
    return float(Ahead(acorn, "snapshot").run(acorn.ship_config())["took_s"])


def shipped(acorn: Site) -> None:
    """Until all of it is in the vaults, however large the database is."""
    end = acorn.wal_end()
    wait_until(lambda: lsn.parse(acorn.status().get("confirmed_lsn", "0/0")) >= end, acorn.told, LONGEST_S)


def _restore(acorn: Site, folder: Path, number: int) -> dict[str, float]:
    """On an empty host, under an epoch of its own; then by restic and Postgres alone, with the same WAL."""
    fleet = acorn.fleet
    birch = Site(folder, f"birch-{number}", fleet, fleet.seal(f"birch-{number}"))
    raw = Site(folder, f"raw-{number}", fleet, fleet.records[-1])
    birch.fsync = True
    restore, recover = Ahead(birch, "restore"), Ahead(birch, "recover")
    os.sync()
    try:
        merged = restore.run(birch.config())
        _keep(birch.pg, raw.folder / "kept")
        os.sync()  # what we kept here is none of recover's; what restore left is on the disk by now
        recovered = recover.run(birch.config())
        birch.kill_postgres()
        shutil.rmtree(birch.pg)  # else 10 GB would take the disk three times
        os.sync()
        raw_restic, raw_replay = _alone(raw, acorn.pg, merged)
    finally:
        birch.end()
        raw.end()
    for site in (birch, raw):
        shutil.rmtree(site.folder)
    return {
        "restore_s": merged["took_s"],
        "restore_restic_s": merged["restic_s"],
        "recover_s": recovered["took_s"],
        "recover_replay_s": recovered["replay_s"],
        "raw_restic_s": raw_restic,
        "raw_replay_s": raw_replay,
        "ratio": (merged["took_s"] + recovered["took_s"]) / (raw_restic + raw_replay),
    }


BESIDE = ("backup_label", "global/pg_control", "resilience.json")
"""What a restore puts beside restic's files and the WAL."""


def _keep(pg: Path, kept: Path) -> None:
    """What a replay needs beside restic's files, as it was before the replay."""
    shutil.copytree(pg / WAL, kept / WAL)
    for name in BESIDE:
        (kept / name).parent.mkdir(exist_ok=True)
        shutil.copy(pg / name, kept / name)


def _alone(raw: Site, path: Path, merged: dict[str, Any]) -> tuple[float, float]:
    """Seconds of restic restore and nothing else; then of Postgres, from its start until it is promoted, its WAL in place."""
    config = load(raw.config(standby=True))
    spec = next(v for v in config.vaults if v.name == merged["snapshot_vault"])
    began = time.monotonic()
    Repository(config.paths.restic, spec, "restic/00000001").restore(merged["snapshot"], str(path), raw.pg)
    restic_s = time.monotonic() - began
    shutil.copytree(raw.folder / "kept", raw.pg, dirs_exist_ok=True)
    raw.pg.chmod(0o700)
    subprocess.run(["chown", "-R", "postgres:postgres", str(raw.pg)], check=True)
    prepare(config, Segments(raw.pg / WAL, 1 << 20))
    began = time.monotonic()
    with connected(config) as db:
        idle = _replayed(db, lsn.parse(merged["end_lsn"]))
        promote(db, slot=False)
    return restic_s, time.monotonic() - began - idle


def _replayed(db: psycopg.Connection[Any], end: int) -> float:
    """Wait until replay is at the WAL's end; for how long it stood there, where a record that is cut off ends it before."""
    last, since = 0, time.monotonic()
    while (idle := time.monotonic() - since) < IDLE:
        now = lsn.parse(one(db, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text"))
        if now >= end:
            return 0.0
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(POLL)
    return idle


__all__ = ["begin_filled", "restores", "shipped"]
