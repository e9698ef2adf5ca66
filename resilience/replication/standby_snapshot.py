"""standby-snapshot: a copy of a standby's data directory into each vault, so that the primary has no part in it.

Nothing is labelled here: this host has no key that could. What a label must say is handed to the operator, who signs it.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psycopg

from resilience.errors import Refused, ResilienceError, VaultError
from resilience.replication import follow, layout, lsn, sessions
from resilience.replication.config import Config
from resilience.replication.label import Label
from resilience.replication.snapshot import copy_into_each, facts, read_control
from resilience.replication.standby import one

NEVER = "FFFFFFFF/FFFFFFFF"
NICE = 10
"""This host may have to serve at any moment: copying gives way."""


def main(config: Config) -> dict[str, Any]:
    """Copy into each vault at once; what the label of each must say."""
    os.nice(NICE)
    chosen = [v for v in config.vaults if v.name in config.record.vaults]
    folder = layout.standby_repository(config.record.number)
    try:
        with sessions.superuser(config.postgres.dsn) as db:
            about = facts(db)
            start = one(db, "SELECT pg_backup_start('resilience', fast => true)::text")
            _refuse_other_epoch(config, lsn.parse(start))
            results = copy_into_each(config, chosen, folder)
            control = read_control(config.paths.pg / "global/pg_control")
            row = db.execute("SELECT lsn::text, labelfile FROM pg_backup_stop(wait_for_archive => false)").fetchone()
    except psycopg.Error as error:
        raise ResilienceError(
            f"{config.site}'s Postgres did not give a snapshot.",
            " ".join(str(error).split()),
            "Nothing was labelled. Look at `resilience status`; the site that writes can take one itself.",
        ) from error
    if row is None:
        raise AssertionError
    said = {"start_lsn": start, "stop_lsn": row[0], "backup_label": row[1], **about}
    return _told(config, folder, results, {**said, "pg_control": base64.b64encode(control).decode()})


def _refuse_other_epoch(config: Config, start: int) -> None:
    """Replay must begin within the epoch that the snapshot is of: whoever follows from it begins there."""
    noted = follow.state(config)
    if noted is None or noted["epoch"] != config.record.number or start < lsn.parse(noted.get("from", NEVER)):
        raise Refused(
            f"{config.site} has no restart point in epoch {config.record.number} yet.",
            f"It stands at {lsn.show(start)}; it notes: {noted}.",
            "It has one a checkpoint later. Until then the site that writes takes the snapshots.",
        )


def _told(
    config: Config, folder: str, results: Mapping[str, str | ResilienceError], said: Mapping[str, Any]
) -> dict[str, Any]:
    """One label for each vault that took it, unsigned; fails only when no vault did."""
    failed = {name: f"{e.what}: {e.why}" for name, e in results.items() if isinstance(e, ResilienceError)}
    at = time.time()
    labels = [
        Label(
            epoch=config.record.number,
            nonce=config.record.nonce,
            site=config.site,
            vault=name,
            snapshot=snapshot,
            repository=folder,
            path=str(config.paths.pg),
            at=at,
            **said,
        )
        for name, snapshot in results.items()
        if isinstance(snapshot, str)
    ]
    if not labels:
        raise VaultError("No vault took the snapshot.", "; ".join(failed.values()), "Nothing was labelled; try again.")
    return {"labels": [asdict(label) for label in labels], "failed": failed}
