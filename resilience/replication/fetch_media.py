"""fetch-media: pictures that this host lacks, from whichever vault has them whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import ResilienceError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.apart import joined, openable
from resilience.replication.config import Config
from resilience.replication.epoch import each
from resilience.replication.originals import read_good

FETCHERS = 12
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Fetch what is missing; each is opened, compared with its name, and only then kept."""
    vaults = config.open()
    identity = config.key()
    answers = each(vaults, lambda vault: vault.list(layout.MEDIA))
    listed = {name: set(keys) for name, keys in answers.items() if not isinstance(keys, ResilienceError)}
    keys = frozenset().union(*listed.values())
    names = sorted(openable(keys, keys))
    missing = [name for name in names if not place(config.paths.media, name).exists()]

    def one(numbered: tuple[int, str]) -> bool:
        index, name = numbered
        holders = [vault for vault in vaults if layout.media(name) in listed.get(vault, ())]
        turn = index % max(1, len(holders))
        whole = [vaults[v] for v in holders[turn:] + holders[:turn]]
        return fetch(config.paths.media, name, whole, list(vaults.values()), identity)

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        good = dict(zip(missing, pool.map(one, enumerate(missing)), strict=True))
    lost = [name for name, ok in good.items() if not ok]
    silent = {name: a.why for name, a in answers.items() if isinstance(a, ResilienceError)}
    return {"objects": len(names), "fetched": len(missing) - len(lost), "lost": lost, "silent": silent}


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
