"""Mirror: what a vault holds is copied to a store that seals nothing, object by object, by the operator.

Only what is lacking is copied and nothing is ever removed: whoever destroys a vault does not destroy its mirror.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from resilience.errors import Oversized, ResilienceError
from resilience.model import EpochRecord, Fleet, MirrorReading, payload_only
from resilience.model.rights import REHEARSALS
from resilience.ports import Vault, World
from resilience.replication import layout
from resilience.replication.mirrored import Mirrored, within
from resilience.replication.originals import AsPut, KeepsVersions

AT_ONCE = 6
"""An SFTP server lets one login do ten things at a time."""
LEFT_OUT = re.compile(rf"{REHEARSALS}|(?:restic|standby)/\d{{8}}/locks/|(?:wal|restic)/00000000/")
NAMED_BY_CONTENT = re.compile(
    r"(?:(?:restic|standby)/\d{8}/(?:data/[0-9a-f]{2}|index|keys|snapshots)/|supplies/)(?P<sha256>[0-9a-f]{64})(?:/[^/]+)?"
)
"""Objects whose name is the sha256 of what is in them, so that an altered one is never copied."""


def mirror(world: World, epoch: EpochRecord, name: str, locked: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    """Copy to this mirror what it lacks of one vault, always the same one while that is there and keeps pictures whole; what was done."""
    of = _source(world, epoch, name, locked)
    vault, copy = AsPut(world.vaults[of]), Mirrored(world.mirrors[name], within(of), name)
    wanted = [key for key in vault.list("") if plain(key) and not LEFT_OUT.match(key)]
    lacking = sorted(set(wanted) - set(copy.list("")), key=lambda key: (key.startswith(layout.LABEL), key))
    bodies = [key for key in lacking if not key.startswith(layout.LABEL)]
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=f"mirror-{name}") as pool:
        answers = dict(zip(bodies, pool.map(lambda key: _copy(vault, copy, key), bodies), strict=True))
    altered = [key for key, size in answers.items() if size is None]
    spoilt = any(NAMED_BY_CONTENT.fullmatch(key) and not key.startswith("supplies/") for key in altered)
    labels = [] if spoilt else [key for key in lacking if key.startswith(layout.LABEL)]
    for key in labels:  # last: a label says that all of its snapshot is there
        answers[key] = _copy(vault, copy, key)
    copied = [size for size in answers.values() if size is not None]
    return {"of": of, "copied": len(copied), "bytes": sum(copied), "altered": altered, "held": len(wanted)}


def plain(key: str) -> bool:
    """Whether every part of a key is a name: a vault's vendor must not lead out of its own folder by what it lists."""
    return not {"", ".", ".."} & set(key.split("/"))


def _source(world: World, epoch: EpochRecord, name: str, locked: frozenset[str]) -> str:
    """A vault that can be called, holds a snapshot, and pictures whole where any does: the one that was mirrored there before, else the first."""
    apart = payload_only(locked, epoch.vaults, epoch.k)
    before = [str(e.data["of"]) for e in world.log.read() if e.kind == "mirrored" and e.data["mirror"] == name]
    here = [vault for vault in epoch.vaults if vault in world.vaults]
    told = []
    for vault in sorted(here, key=lambda vault: (vault in apart, vault not in before[-1:])):
        try:
            if world.vaults[vault].list(layout.LABEL):
                return vault
            told.append(f"{vault} holds no snapshot")
        except ResilienceError as error:
            told.append(f"{vault}: {error.why}")
    raise ResilienceError(
        f"There is nothing that {name} could be a mirror of.",
        "; ".join(told) or "No vault of the newest epoch may be called.",
        "See `resilience status`; then run this again.",
    )


def _copy(vault: Vault, copy: Mirrored, key: str) -> int | None:
    """How many bytes were copied; None where no version of the object is what its name says."""
    for data in _versions(vault, key):
        found = NAMED_BY_CONTENT.fullmatch(key)
        if found is None or hashlib.sha256(data).hexdigest() == found["sha256"]:
            copy.put_over(key, data)
            return len(data)
    return None


def _versions(vault: Vault, key: str) -> Iterator[bytes]:
    """What is there, and what was put first where the store keeps that."""
    with suppress(Oversized):
        if (data := vault.get(key)) is not None:
            yield data
    if isinstance(vault, KeepsVersions) and (first := vault.first(key)) is not None:
        yield first


def mirrored(world: World, fleet: Fleet) -> dict[str, Mirrored]:
    """What each mirror may hold of each vault, to look at."""
    return {
        f"{name} (of {spec.name})": Mirrored(store, within(spec.name), f"{name} (of {spec.name})")
        for name, store in world.mirrors.items()
        for spec in fleet.sealing
    }


def look(world: World, fleet: Fleet, name: str) -> MirrorReading | None:
    """The newest snapshot that a mirror holds, of which vault, and when this journal saw it copied; None: nothing yet."""
    store, newest = world.mirrors[name], ("", "")
    for spec in fleet.sealing:
        label = max(Mirrored(store, within(spec.name), name).list(layout.LABEL), default="")
        newest = max(newest, (label, spec.name))
    at = [e.when for e in world.log.read() if e.kind == "mirrored" and e.data["mirror"] == name]
    return MirrorReading(newest[1], newest[0], at[-1] if at else None) if newest[0] else None
