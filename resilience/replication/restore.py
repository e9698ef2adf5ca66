"""restore: the newest good snapshot, the merged chain, put again; the opening record last.

What it leaves: a data directory with `backup_label`, WAL segments in a folder of their own, and
`resilience.json` in the data directory that says how far it got and for which epoch.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import structlog

from resilience.errors import BrokenChain, NoSnapshot, ResilienceError
from resilience.model import EpochRecord, Unknown
from resilience.ports import Merged, Vault
from resilience.replication import chain as chains
from resilience.replication import disk, follow, label, layout, lsn, proof, seals
from resilience.replication import epoch as epochs
from resilience.replication.assembly import Part, assemble
from resilience.replication.base import (
    MARKER,
    RESTORING,
    WAL,
    afresh,
    bring,
    cloning,
    empty,
    finish,
    fitting,
    following,
    mark,
    marker,
    own,
    owner_of,
    refuse_foreign,
)
from resilience.replication.chunk import Opening
from resilience.replication.config import Config, Until, ours
from resilience.replication.label import Label
from resilience.replication.objects import Place
from resilience.replication.originals import as_put
from resilience.replication.patient import patiently
from resilience.replication.reput import put_again, put_opening
from resilience.replication.segments import Segments
from resilience.replication.standby import only_follower
from resilience.replication.taken import refuse_taken
from resilience.replication.trace import astray, beginning, known_epochs, legs, own_opening

OBJECTS = "objects"
"""Chunks that are kept here beside the vaults': they may be the last copy, so no restore removes them."""
CHUNK = 4 << 20
"""No chunk holds more WAL."""
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Restore, or say again what a finished restore of this epoch said."""
    before = marker(config)
    if before is not None and before["state"] != RESTORING:
        return dict(before["merged"])
    ready(config)
    began = time.monotonic()
    with only_follower(config):
        ours(config.paths.wal)
        merged = _restore(config, before)
    log.info("restored", seconds=round(time.monotonic() - began, 3), **asdict(merged))
    return asdict(merged)


def _restore(config: Config, before: Mapping[str, Any] | None) -> Merged:
    """From the newest snapshot that leads to a consistent copy; on a standby its copy takes the snapshot's place.

    Of the vaults that hold it those come first that were proven to give it back.
    """
    standing = following(config)
    if standing is None and not cloning(config):
        refuse_foreign(config, before)
    vaults = as_put(patiently(config.open()))
    known = known_epochs(config, vaults)
    with ThreadPoolExecutor(max_workers=2) as aside:
        opened = aside.submit(own_opening, config, vaults)
        looked = aside.submit(proof.proven, vaults, config.verify)
        refuse_taken(vaults, config.record)
        opening, proven = opened.result(), looked.result()
    tried = 0
    groups = label.find(config.labelled(vaults), known, config.verify)
    broken: BrokenChain | None = None
    since = 0
    for tried, group in enumerate(fitting(config, groups), start=1):  # noqa: B007 - told below
        # A standby's snapshot goes before newer ones: WAL may be gone that only those lead past.
        if broken is not None and group[0].start <= since:
            raise broken
        try:
            first = sorted(group, key=lambda label: (label.vault, label.snapshot) not in proven)
            merged = _attempt(config, vaults, first, opening)
        except BrokenChain as error:
            log.warning("the chain is broken after this snapshot", snapshot=group[0].snapshot, why=error.why)
            broken, since = error, group[0].start
            continue
        if merged is not None:
            return merged
    if broken is not None:
        raise broken
    raise NoSnapshot(
        "No vault holds a snapshot that can be used.",
        f"{tried} could be believed by their labels; none led to a consistent copy.",
        "Look at label/ in the vaults, and at what the log above says of each.",
    )


def goes_on(config: Config, opening: Opening | None) -> tuple[EpochRecord, int | None]:
    """Our epoch with the one it goes on from as its parent, and up to where: as recorded, else as the operator says, else all."""
    if opening is not None:
        return replace(config.record, parent=opening.parent), opening.end
    if config.until is not None:
        return replace(config.record, parent=config.until.epoch), lsn.parse(config.until.lsn)
    return config.record, None


def _attempt(config: Config, vaults: Mapping[str, Vault], group: list[Label], opening: Opening | None) -> Merged | None:
    """One snapshot, from whichever vault has it whole; None when the next older one must do.

    A standby's copy takes its place. Where that can't go on, it is given up only once the chain is known to lead on from here.
    """
    hot, standing = None, following(config)
    if standing is not None:
        hot = _hot(config, vaults, group, opening, standing)
        if hot is None:
            if _wal(config, vaults, group[0], opening, None) is None:
                return None
            subprocess.run(config.postgres.stop, check=False, capture_output=True)
    found = hot or _cold(config, vaults, group, opening)
    if found is None:
        return None
    merged = _merged(found)
    parent = goes_on(config, opening)[0].parent
    with ThreadPoolExecutor(max_workers=1) as aside:
        settled = None if hot else aside.submit(disk.settle, config)
        put_opening(config, found.writers, vaults, _opening(config, parent, merged))
        if settled is not None:
            settled.result()
    cut = 0 if config.until is None else cut_bytes(vaults, config.until, config.record.number)
    facts = {"segment_size": found.segments.size, "segments": str(found.segments.folder), "cut_bytes": cut}
    facts["until"] = config.until is not None
    mark(config, "restored", merged=asdict(merged), **facts)
    own(config, [config.paths.pg / MARKER])
    return merged


def _opening(config: Config, parent: int, merged: Merged) -> Opening:
    return Opening(
        epoch=config.record.number,
        nonce=config.record.nonce,
        parent=parent,
        end=lsn.parse(merged.end_lsn),
        confirmed=lsn.parse(merged.confirmed_lsn),
        timeline=merged.timeline,
        system_id=merged.system_id,
        at=time.time(),
    )


class Found(NamedTuple):
    """A copy's files and WAL, all of which k vaults hold."""

    label: Label
    segments: Segments
    parts: list[Part]
    writers: Mapping[str, Vault]
    restic_s: float = 0.0
    """Seconds that restic took for its files; none where they are a standby's own."""


def _again(config: Config, readers: Mapping[str, Vault], parts: list[Part]) -> Mapping[str, Vault]:
    """The chain into k vaults of our own epoch; those vaults, opened to put into."""
    writers = patiently(config.open_to_write(config.record.vaults))
    put_again(config, writers, readers, [(gathered, chain) for _, gathered, chain in parts])
    return writers


def _cold(config: Config, vaults: Mapping[str, Vault], group: list[Label], opening: Opening | None) -> Found | None:
    """Files from a vault, and all WAL since, put again, at the same time; onto the disk while they come."""
    first = group[0]
    afresh(config, RESTORING)
    empty(config.paths.wal, but=OBJECTS)
    with ThreadPoolExecutor(max_workers=2) as pool:
        files = pool.submit(_files, config, group)
        written = pool.submit(disk.keep_up, config, files)
        try:
            walked = _wal(config, vaults, first, opening, None)
            writers = {} if walked is None else _again(config, vaults, walked[1])
        except OSError as error:
            if error.errno in disk.FULL:
                files.result()  # restic comes to the same end, and says how much was to come
            raise
        used, restic_s = files.result()
        if walked is None or isinstance(used, Unknown):
            return None
        finish(config, used)
        segments, parts = walked
        segments = segments.move(config.paths.pg / WAL)
        written.result()
    return Found(used, segments, parts, writers, restic_s)


def _files(config: Config, group: list[Label]) -> tuple[Label | Unknown, float]:
    """The data directory from whichever vault gives it, and the seconds that took."""
    began = time.monotonic()
    return bring(config, group, RESTORING), round(time.monotonic() - began, 3)


def _hot(
    config: Config,
    vaults: Mapping[str, Vault],
    group: list[Label],
    opening: Opening | None,
    standing: Mapping[str, Any],
) -> Found | None:
    """A standby's own copy, with the WAL that it lacks; None where it can't go on to the chain's end, or this snapshot is of no use."""
    reached = follow.state(config)
    if config.until is not None or reached is None or standing["system_id"] != group[0].system_id:
        return None
    try:
        walked = _lacking(config, vaults, group[0], opening, reached)
    except follow.TooFar as error:
        log.warning("this standby can't go on", what=error.what, why=error.why)
        return None
    except BrokenChain as error:
        if follow.place(reached).position >= group[0].start:
            raise
        log.warning("vaults lack WAL past this standby", what=error.what, why=error.why)
        return None
    if walked is None:
        return None
    segments, parts = walked
    for leg, _, chain in parts:  # a copy is on the disk before it is called restored
        segments.flush(leg.start.timeline, leg.position, chain.end)
    return Found(group[0], segments, parts, _again(config, vaults, parts))


def _lacking(
    config: Config, vaults: Mapping[str, Vault], first: Label, opening: Opening | None, reached: Mapping[str, Any]
) -> tuple[Segments, list[Part]] | None:
    """The WAL that a standby lacks; its own chunks, whose signatures follow looked at, are taken at their word.

    Where they do not fit, one may have rotted since: once more, with every signature looked at, so that it comes from a vault.
    """
    try:
        return _wal(config, vaults, first, opening, reached, follow.place(reached))
    except follow.TooFar:
        raise
    except ResilienceError as error:
        log.warning("what was kept here does not fit; every signature is looked at", what=error.what, why=error.why)
        return _wal(config, vaults, first, opening, reached)


def _wal(
    config: Config,
    vaults: Mapping[str, Vault],
    first: Label,
    opening: Opening | None,
    reached: Mapping[str, Any] | None,
    looked_at: Place | None = None,
) -> tuple[Segments, list[Part]] | None:
    """All WAL from the snapshot on, as segment files; None when the snapshot lies past the chain's end.

    What a standby `reached` is there already; where that is less than the snapshot, all from there on. No signature is
    looked at of what is kept here up to `looked_at`.
    """
    position = first.needs_from
    if reached is not None:
        position = min(position, follow.place(reached).position)
    sealed = config.sealed or config.record.vaults
    known = known_epochs(config, vaults)
    child, limit = goes_on(config, opening)
    segments = Segments(config.paths.wal / "restored", first.segment_size, owner_of(config))
    found = legs(known, child, vaults, sealed, position, limit)
    if astray(found, first):
        log.warning("a snapshot is of a history that was cut off", snapshot=first.snapshot, stop=first.stop_lsn)
        return None
    if reached is not None:
        follow.refuse_astray(reached, found)
    if first.system_id not in {leg.start.system_id for leg in found}:
        log.warning("a snapshot is of another database", snapshot=first.snapshot, system=first.system_id)
        return None
    here = None if reached is None else follow.place(reached)
    parts = assemble(config, vaults, found, segments, here, looked_at)
    chains.one_system((h for _, _, chain in parts for h in chain.headers), first.system_id)
    if reached is not None:
        for leg, gathered, chain in parts:
            if leg.record.number >= reached["epoch"]:  # what ended before was crossed with nothing past its cut
                follow.refuse_too_far(gathered, chain)
    end = parts[-1][2].end
    _refuse_unseen(config, known, parts[-1])
    if end < first.stop:
        log.warning(
            "a snapshot lies past the chain's end", snapshot=first.snapshot, stop=first.stop_lsn, end=lsn.show(end)
        )
        return None
    if child.parent != config.record.parent or config.until is not None:
        _name_all(known, vaults, sealed, segments, parts[-1][0].start.timeline)
    return segments, parts


def _refuse_unseen(config: Config, known: Mapping[int, EpochRecord], last: Part) -> None:
    """Where nobody recorded an end it is proven by enough vaults: of this epoch, and of each since, of which nothing was found."""
    leg, _, chain = last
    bound = leg.limit is not None or config.accept_end == lsn.show(chain.end)
    if bound or config.standby or config.forced:
        return
    for number in range(leg.record.number, config.record.number):
        if number in known:
            chains.refuse_unseen(chain, known[number], config.sealed or config.record.vaults)


def _name_all(
    known: Mapping[int, EpochRecord],
    vaults: Mapping[str, Vault],
    sealed: tuple[str, ...],
    segments: Segments,
    timeline: int,
) -> None:
    """The history files of timelines past this one: Postgres gives the new one a number that none of them has."""
    for record in known.values():
        start, _ = beginning(record, vaults, sealed)
        if start is not None and start.timeline > timeline:
            segments.name(start.timeline, start.history)


def cut_bytes(vaults: Mapping[str, Vault], until: Until, number: int) -> int:
    """About how much WAL lies past the operator's end, in its own epoch and in those after; all of that where none does."""
    total = 0
    for older in range(until.epoch, number):
        answers = epochs.each(vaults, lambda vault, n=older: vault.list(layout.wal(n)))  # type: ignore[misc]
        keys = {key for listed in answers.values() if isinstance(listed, list) for key in listed}
        starts = [start for key in keys if (start := layout.chunk_start(key)) is not None]
        since = lsn.parse(until.lsn) if older == until.epoch else 0
        after = (
            [since, *(start for start in starts if start >= since)] if max(starts, default=0) > since > 0 else starts
        )
        total += max(after) - min(after) + CHUNK if after else 0
    return total


def _merged(found: Found) -> Merged:
    used, parts = found.label, found.parts
    last_leg, _, last = parts[-1]
    return Merged(
        snapshot=used.snapshot,
        snapshot_vault=used.vault,
        end_lsn=lsn.show(last.end),
        confirmed_lsn=lsn.show(max(chain.confirmed for _, _, chain in parts)),
        timeline=last_leg.start.timeline,
        system_id=used.system_id,
        chunks=sum(len(chain.headers) for _, _, chain in parts),
        healed=tuple(sorted({what for _, gathered, _ in parts for what in gathered.healed})),
        restic_s=found.restic_s,
    )


def ready(config: Config) -> seals.Sign:
    """The key and identity this command needs, before it touches anything."""
    config.key()
    return config.sign()
