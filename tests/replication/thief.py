"""Somebody with all that a primary's host holds: he makes a snapshot up, and signs a label for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from resilience.replication import label as labels
from resilience.replication import layout, lsn, seals
from resilience.replication.config import load
from resilience.replication.restic import Repository
from tests.replication.harness import Fleet, Site


def make_up(folder: Path, victim: Path) -> Path:
    """A data directory through whose links a restore would write, and start what it likes."""
    pg = folder / "pg"
    (pg / "global").mkdir(parents=True)
    for name, target in (
        ("backup_label", "authorized_keys"),
        ("global/pg_control", "cron"),
        ("pg_wal", "."),
        ("standby.signal", "made"),
        ("postgresql.auto.conf", "secret"),
        (".resilience.json.new", "marked"),
    ):
        (pg / name).symlink_to(victim / target)
    os.mkfifo(pg / "pipe")
    return pg


def plant(lost: Fleet, site: Site, pg: Path, names: list[str]) -> None:
    """This folder as the newest snapshot in these vaults, by ship's credentials and the site's key."""
    config, sign = load(site.config("ship", standby=True)), seals.signer(lost.keys[1])
    for vault in (vault for vault in config.vaults if vault.name in names):
        there = lost.vaults()[vault.name]
        true = labels.decode(there.get(there.list(layout.LABEL)[0]) or b"", lost.records[0], lost.check)
        assert true is not None
        taken = Repository(config.paths.restic, vault, true.repository).backup(pg, [], [], "acorn", "epoch-1")
        stop = lsn.show(true.stop + 1)
        forged = replace(true, snapshot=taken, path=str(pg), start_lsn=true.stop_lsn, stop_lsn=stop)
        assert there.put_new(forged.key, labels.encode(forged, sign))
