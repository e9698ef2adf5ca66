"""fetch-media: pictures that this host lacks, from whichever vault has them; what the app wants first comes first.

Rows tell which there are, so nothing is listed: as many requests as pictures are lacking, however many a vault holds.
Only where no rows are yet, since a move is prepared, vaults tell it (`listed`).
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import ResilienceError, UsageError
from resilience.ports import Vault
from resilience.replication import appfolders, layout, seals, sessions
from resilience.replication.apart import joined, openable
from resilience.replication.config import Config, MediaQuery
from resilience.replication.epoch import each
from resilience.replication.ledger import PICTURE
from resilience.replication.originals import read_good
from resilience.replication.patient import sounded_out

FETCHERS = 12
BATCH = 200
WANTED = "wanted"
"""Folder of the outbox, there while pictures are brought: the app leaves an empty file in it, named like a picture that somebody
asked for in vain."""
MOST = 1000
"""No more wishes are read at once: the app leaves no more, and whoever else writes there keeps nobody busy."""
log = structlog.get_logger()


def main(
    config: Config,
    first: bool = False,  # noqa: FBT001, FBT002 - as it is typed
    listed: bool = False,  # noqa: FBT001, FBT002 - likewise
    within: float | None = None,
) -> dict[str, Any]:
    """Fetch what is lacking of `named`, or of what vaults have `listed`, or else of what rows name: all, or what the app wants `first`.

    Each is opened, compared with its name, and only then kept. What is listed is fetched for so many seconds.
    """
    vaults = sounded_out(config.open())
    if listed:
        return _all_listed(config, vaults, time.monotonic() + (within or inf))
    names = config.named or rows(config, first=first)
    lost = [*dict.fromkeys(name for name in names if not is_picture(name))]
    if lost:
        log.warning("rows name what is no picture", how_many=len(lost))
    left = lacking(config, (name for name in names if is_picture(name)))
    absent = len(left) + len(lost)
    with _listening(config.paths.outbox) as wanted:
        while some := [name for name in _asked_for(wanted) if name in left] or list(islice(left, BATCH)):
            lost += _bring(config, vaults, some)
            if not config.named:
                _remove_unnamed(config, some)
            for name in some:
                del left[name]
    return {"objects": len(names), "fetched": absent - len(lost), "lost": lost}


def _all_listed(config: Config, vaults: Mapping[str, Vault], until: float) -> dict[str, Any]:
    """All that vaults list; again, until only few came since, or no fewer than the time before: they are still written."""
    lost, fetched, before = set[str](), 0, sys.maxsize
    while True:
        names = _listed(vaults)
        left = lacking(config, names - lost)
        absent = len(left)
        while (some := list(islice(left, BATCH))) and time.monotonic() < until:
            lost.update(bad := _bring(config, vaults, some))
            fetched += len(some) - len(bad)
            for name in some:
                del left[name]
        if left or absent <= BATCH or absent >= before:
            return {"objects": len(names), "fetched": fetched, "lost": sorted(lost), "left": len(left)}
        before = absent


def _listed(vaults: Mapping[str, Vault]) -> set[str]:
    """Every picture that can be had, as the vaults that answer list it."""
    answers = each(vaults, lambda vault: vault.list(layout.MEDIA))
    seen = {key for keys in answers.values() if not isinstance(keys, ResilienceError) for key in keys}
    return openable(seen, seen)


def lacking(config: Config, names: Iterable[str]) -> dict[str, None]:
    """Those that are not here, in their order; what is no picture's name is nowhere looked for."""
    media = config.paths.media
    return dict.fromkeys(name for name in names if not (is_picture(name) and appfolders.is_file(place(media, name))))


@contextmanager
def _listening(outbox: Path) -> Iterator[int | None]:
    """Where the app tells what somebody wants to see: it does as long as the folder is there; None where it can't be made."""
    with appfolders.opened(outbox) as above:
        wanted = _wishes(above)
        try:
            yield wanted
        finally:
            if wanted is not None:
                _asked_for(wanted)
                os.close(wanted)
                with suppress(OSError):
                    os.rmdir(WANTED, dir_fd=above)


def _wishes(above: int) -> int | None:
    with suppress(FileExistsError):
        os.mkdir(WANTED, 0o770, dir_fd=above)
    try:
        wanted = os.open(WANTED, appfolders.FOLDER, dir_fd=above)
    except OSError as error:
        log.warning("what the app wants first is not read", why=error.strerror)
        return None
    who = os.fstat(above)
    appfolders.give(wanted, who)
    if os.fstat(wanted).st_uid == who.st_uid:
        os.fchmod(wanted, 0o2770)
    return wanted


def _asked_for(wanted: int | None) -> list[str]:
    """What the app told since the last look."""
    if wanted is None:
        return []
    with os.scandir(wanted) as entries:
        names = [entry.name for entry in islice(entries, MOST)]
    for name in names:
        with suppress(OSError):
            os.unlink(name, dir_fd=wanted)
    return names


def rows(config: Config, *, first: bool = False) -> Sequence[str]:
    """What the app's rows name, in its own order."""
    query = _query(config)
    asked = query.first if first and query.first else query.sql
    with sessions.as_owner(config.postgres.dsn, query.database) as db:
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
    with sessions.as_owner(config.postgres.dsn, query.database) as db:
        asked = f"SELECT name FROM ({query.sql}) AS named (name) WHERE name = ANY(%s)"  # noqa: S608 - the app's own query
        still = {str(name) for (name,) in db.execute(asked.encode(), (list(names),)).fetchall()}
    for name in set(names) - still:
        try:
            appfolders.remove(config.paths.media, place(config.paths.media, name))
        except appfolders.Misplaced as error:
            log.warning("what was erased cannot be removed", name=name, why=error.why)


def is_picture(name: str) -> bool:
    """Whether this is a picture's name, and no path: who rules a primary's database has rows name what he likes."""
    return PICTURE.fullmatch(name) is not None


def place(folder: Path, name: str) -> Path:
    """Where a picture is kept."""
    return folder / name[:2] / name


def fetch(folder: Path, name: str, whole: Sequence[Vault], apart: Sequence[Vault], identity: str) -> bool:
    """One picture from the first vault that has it whole, or else from a payload and its header in any of the others."""
    plain = _whole(name, whole, identity)
    if plain is None and apart:
        plain = joined(name, apart, apart, lambda data: opened(data, name, identity))
    if plain is None:
        return False
    try:
        appfolders.keep(folder, place(folder, name), plain)
    except appfolders.Misplaced as error:
        log.warning("a picture cannot be kept", name=name, why=error.why)
        return False
    return True


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
