"""verify: whether one vault, by itself, gives the database back: restored, started, checked, counted."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from resilience.errors import ResilienceError, UsageError, VaultError
from resilience.ports import Vault
from resilience.replication import layout, lsn, scratch, sessions, tally, witness
from resilience.replication.apart import joined, openable
from resilience.replication.config import Config
from resilience.replication.epoch import each
from resilience.replication.fetch_media import opened
from resilience.replication.originals import as_put
from resilience.replication.scratch import Copy, Moment

SAMPLE = 20
"""So many pictures are opened and compared with their names."""


def main(config: Config, vault: str | None, at: str | None) -> dict[str, Any]:
    """Restore from this vault alone up to a position; what was found, or the error that says what is wrong."""
    try:
        return _verify(config, vault, at)
    except psycopg.InternalError as error:  # class XX: what it reads can't be
        raise VaultError(
            f"Postgres cannot read the copy from {vault}.",
            " ".join(str(error).split()),
            "Take a new snapshot, and look at the primary's disk: the damage may be there too.",
        ) from error
    except psycopg.Error as error:
        raise ResilienceError(
            f"Postgres failed on the machine that looks at the copy from {vault}; nothing is known of the copy.",
            " ".join(str(error).split()),
            "See to this machine (its disk may be full), then verify again.",
        ) from error


def _verify(config: Config, vault: str | None, at: str | None) -> dict[str, Any]:
    if vault is None or vault not in {v.name for v in config.vaults}:
        raise UsageError(f"There is no vault {vault}.", "verify looks at one.", "Give --vault with a configured name.")
    alone = config.model_copy(update={"vaults": tuple(v for v in config.vaults if v.name == vault), "sealed": (vault,)})
    seen = None if config.witness is None else witness.read(config.witness, config)
    began, moment = time.monotonic(), Moment.parse(lsn.show(seen.position) if seen else at)
    opened = as_put(alone.open())
    copy = scratch.make(alone, opened, moment)
    brought = time.monotonic()
    with scratch.opened(copy, moment) as db:
        restored = time.monotonic()
        early = witness.early(seen, db) if seen else None
        tables = tally.whole(copy.config, db)
        keepers = list(config.open(config.record.vaults).values()) if vault in config.apart else []
        pictures = _pictures(copy.config, opened[vault], keepers)
        _index_check(copy)
    _page_check(copy)
    return {
        "ok": True,
        **scratch.describe(copy),
        "at": time.time(),
        "restore_s": round(restored - began, 1),
        "replay_s": round(restored - brought, 3),
        "replay_bytes": copy.end - copy.label.start,
        "seconds": round(time.monotonic() - began, 1),
        "tables": tables,
        "rows": sum(table.rows for table in tables.values()),
        "digest": hashlib.sha256(json.dumps(sorted(tables.items())).encode()).hexdigest()[:16],
        "early": early,
        **pictures,
    }


def _pictures(config: Config, vault: Vault, keepers: Sequence[Vault]) -> dict[str, Any]:
    """Whether every picture that a row names is in this vault, and whether some of them are what they should be.

    Headers are read in `keepers`: of a vault that has none, whole pictures alone count.
    """
    if config.media_query is None:
        return {"pictures": None, "missing": None}
    with sessions.as_owner(config.postgres.dsn, config.media_query.database) as db:
        named = {str(row[0]) for row in db.execute(config.media_query.sql.encode()).fetchall()}
    keys = vault.list(layout.MEDIA)
    held = openable(keys, _headers(keepers) if any(layout.part(key) for key in keys) else ())
    missing = sorted(named - held)
    altered = [
        name
        for name in sorted(named & held)[:: max(1, len(named) // SAMPLE)]
        if not _opens(config, vault, keepers, name)
    ]
    if missing or altered:
        payloads = len(openable(keys, _all_headers(keys)) & set(missing))
        told = f"; of {payloads} it has the payload alone, and counts with whole ones" if payloads else ""
        raise VaultError(
            f"{vault.name} lacks {len(missing)} of {len(named)} pictures, and {len(altered)} are altered{told}.",
            ", ".join([*missing, *altered][:5]),
            "Bring them from another vault or the primary; a site restored from this vault alone would show gaps.",
        )
    return {"pictures": len(named), "missing": 0}


def _all_headers(keys: Sequence[str]) -> set[str]:
    """What the headers of these payloads are called, wherever they may be."""
    return {layout.header(part.picture, part.payload) for part in map(layout.part, keys) if part}


def _headers(keepers: Sequence[Vault]) -> set[str]:
    """Headers of what a locked vault keeps the payload of, in whichever vault answers."""
    answers = each({keeper.name: keeper for keeper in keepers}, lambda keeper: keeper.list(layout.MEDIA))
    return {key for keys in answers.values() if not isinstance(keys, ResilienceError) for key in keys}


def _opens(config: Config, vault: Vault, keepers: Sequence[Vault], name: str) -> bool:
    """Whether the picture in this vault opens, with its header from any other, and is the one that its name says."""

    def look(data: bytes) -> bytes | None:
        return opened(data, name, config.key())

    data = vault.get(layout.media(name))
    return (look(data) if data is not None else joined(name, [vault], keepers, look)) is not None


def _index_check(copy: Copy) -> None:
    """Tables and indexes agree, row by row (pg_amcheck)."""
    run, user = copy.config.paths.run, copy.config.postgres.user
    where = ["-h", str(run), "-p", "5432", "-U", user]
    _program(copy, "pg_amcheck", *where, "--all", "--install-missing", "--heapallindexed", "--no-dependent-toast")


def _page_check(copy: Copy) -> None:
    """Every page carries its checksum (pg_checksums, on the stopped copy)."""
    _program(copy, "pg_checksums", "--check", "-D", str(copy.config.paths.pg))


def _program(copy: Copy, name: str, *argv: str) -> None:
    command = [str(copy.config.postgres.bin / name), *argv]
    env = {**os.environ, "PGOPTIONS": sessions.options({**sessions.SAFE, **sessions.WRITES})}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", env=env)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise VaultError(
            f"{name} finds the copy from {copy.label.vault} damaged.",
            said,
            "Take a new snapshot, and look at the primary's disk: the damage may be there too.",
        )
