"""fetch-media: pictures that this host lacks, from whichever vault has them; what the app wants first comes first.

Rows tell which there are, so nothing is listed: as many requests as pictures are lacking, however many a vault holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import structlog

from resilience.errors import ResilienceError, UsageError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.apart import joined
from resilience.replication.config import Config, MediaQuery
from resilience.replication.originals import read_good
from resilience.replication.patient import sounded_out

FETCHERS = 12
BATCH = 200
WANTED = "wanted"
"""Folder of the outbox, there while pictures are brought: the app leaves an empty file in it, named like a picture that somebody
asked for in vain."""
log = structlog.get_logger()


def main(config: Config, first: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as it is typed
    """Fetch what is lacking of `named`, or else of what rows name: all of it, or what the app wants `first`.

    Each is opened, compared with its name, and only then kept.
    """
    names = config.named or _rows(config, first=first)
    left = dict.fromkeys(name for name in names if not place(config.paths.media, name).exists())
    absent, lost, vaults = len(left), list[str](), sounded_out(config.open())
    with _listening(config.paths.outbox) as wanted:
        while some := [name for name in _asked_for(wanted) if name in left] or list(islice(left, BATCH)):
            lost += _bring(config, vaults, some)
            if not config.named:
                _remove_unnamed(config, some)
            for name in some:
                del left[name]
    return {"objects": len(names), "fetched": absent - len(lost), "lost": lost}


@contextmanager
def _listening(outbox: Path) -> Iterator[Path]:
    """Where the app tells what somebody wants to see: it does as long as the folder is there."""
    wanted, who = outbox / WANTED, outbox.stat()
    wanted.mkdir(exist_ok=True)
    os.chown(wanted, who.st_uid, who.st_gid)
    wanted.chmod(0o2770)
    try:
        yield wanted
    finally:
        shutil.rmtree(wanted, ignore_errors=True)


def _asked_for(wanted: Path) -> list[str]:
    """What the app told since the last look."""
    names = [path.name for path in wanted.iterdir()]
    for name in names:
        (wanted / name).unlink(missing_ok=True)
    return names


def _rows(config: Config, *, first: bool) -> Sequence[str]:
    """What the app's rows name, in its own order."""
    query = _query(config)
    asked = query.first if first and query.first else query.sql
    with psycopg.connect(config.postgres.dsn, dbname=query.database, autocommit=True) as db:
        return [str(name) for (name,) in db.execute(asked.encode()).fetchall()]


def _query(config: Config) -> MediaQuery:
    if config.media_query is None:
        raise UsageError("The configuration has no media_query.", "Nothing says which pictures there are.", "Add it.")
    return config.media_query


def _bring(config: Config, vaults: Mapping[str, Vault], names: Sequence[str]) -> list[str]:
    """Fetch these, each from another vault first; those that none gave."""
    identity = config.key()
    whole = [vault for name, vault in vaults.items() if name not in config.apart]
    kept = [vault for vault in vaults.values() if vault not in whole]
    apart = list(vaults.values()) if any(vault.locked for vault in config.vaults) else []

    def one(numbered: tuple[int, str]) -> bool:
        index, name = numbered
        turn = index % max(1, len(whole))
        return fetch(config.paths.media, name, [*whole[turn:], *whole[:turn], *kept], apart, identity)

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        good = pool.map(one, enumerate(names))
        return [name for name, ok in zip(names, good, strict=True) if not ok]


def _remove_unnamed(config: Config, names: Sequence[str]) -> None:
    """What was erased while it was fetched goes again: whoever erased it did not find it here."""
    query = _query(config)
    with psycopg.connect(config.postgres.dsn, dbname=query.database, autocommit=True) as db:
        asked = f"SELECT name FROM ({query.sql}) AS named (name) WHERE name = ANY(%s)"  # noqa: S608 - the app's own query
        still = {str(name) for (name,) in db.execute(asked.encode(), (list(names),)).fetchall()}
    for name in set(names) - still:
        place(config.paths.media, name).unlink(missing_ok=True)


def place(folder: Path, name: str) -> Path:
    """Where a picture is kept."""
    return folder / name[:2] / name


def fetch(folder: Path, name: str, whole: Sequence[Vault], apart: Sequence[Vault], identity: str) -> bool:
    """One picture from the first vault that has it whole, or else from a payload and its header in any of the others."""
    plain = _whole(name, whole, identity)
    if plain is None and apart:
        plain = joined(name, apart, apart, lambda data: opened(data, name, identity))
    if plain is not None:
        keep(folder, place(folder, name), plain)
    return plain is not None


def _whole(name: str, vaults: Sequence[Vault], identity: str) -> bytes | None:
    for vault in vaults:
        try:
            found = read_good(vault, layout.media(name), lambda data: opened(data, name, identity))
        except ResilienceError as error:
            log.warning("a picture cannot be had", vault=vault.name, name=name, why=error.why)
            continue
        if isinstance(found, tuple):
            return found[1]
        log.warning("a picture is altered or gone", vault=vault.name, name=name)
    return None


def opened(data: bytes, name: str, identity: str) -> bytes | None:
    """The picture in an object, when it opens and is the one that the name says."""
    try:
        plain = seals.decrypt(data, identity)
    except ResilienceError:
        return None
    return plain if hashlib.sha256(plain).hexdigest() == name else None


def keep(owner: Path, path: Path, data: bytes) -> None:
    """Write a file at once and give it, with its folder, to whoever owns `owner`."""
    who = owner.stat()
    new = path.with_name(f".{path.name}.new")
    try:
        handle = new.open("wb", buffering=0)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o2770, exist_ok=True)
        os.chown(path.parent, who.st_uid, who.st_gid)
        handle = new.open("wb", buffering=0)
    with handle:
        handle.write(data)
        os.fchmod(handle.fileno(), 0o640)
        os.fchown(handle.fileno(), who.st_uid, who.st_gid)
    new.replace(path)
