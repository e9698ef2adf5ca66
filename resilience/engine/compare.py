"""Compare: whether a copy shows, table by table, what the primary itself saw at that position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience.engine.observe import read
from resilience.model import EpochRecord, Fleet, Reading, Unknown
from resilience.ports import World

Finding = Mapping[str, Any]
SHOWN = 5
"""So many tables are named in a sentence."""


def take(world: World, fleet: Fleet, epoch: EpochRecord | None) -> Reading[Finding]:
    """The witness of the site that may write; why there is none where it can't say."""

    def ask() -> Reading[Finding]:
        if epoch is None:
            return Unknown("no vault shows an epoch")
        site = fleet.site(epoch.site)
        outputs = world.clouds[site.name].outputs(site)
        return Unknown(f"nothing runs at {site.name}") if outputs is None else world.plane.witness(site, outputs)

    return read(ask)


def compared(seen: Reading[Finding], copy: Finding) -> Finding:
    """What a copy's finding says beside what the primary saw: the same, another, or not known and why."""
    if isinstance(seen, Unknown):
        return _unknown(copy, seen.why)
    if not copy["ok"]:
        return _unknown(copy, "it is not whole")
    if early := copy["early"]:
        why = f"{_many(len(early), 'transaction')} had committed at {seen['position']} that the primary did not see yet"
        return _unknown(copy, why)
    theirs, ours = _rows(seen["tables"]), _rows(copy["tables"])
    names = (theirs.keys() | ours.keys()) - seen["left_out"].keys()
    unlike = {name: {"primary": theirs.get(name), "copy": ours.get(name)} for name in sorted(names)}
    unlike = {name: both for name, both in unlike.items() if both["primary"] != both["copy"]}
    if unlike:
        return {**copy, "ok": False, "compared": False, "unlike": unlike, **_complaint(str(seen["position"]), unlike)}
    return {**copy, "compared": True, "compared_tables": len(names), "left_out": dict(seen["left_out"])}


def _unknown(copy: Finding, why: str) -> Finding:
    return {**copy, "compared": None, "not_compared": why}


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _rows(tables: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: list(tally) for name, tally in tables.items()}


def _complaint(position: str, unlike: Mapping[str, Mapping[str, list[Any] | None]]) -> Mapping[str, str]:
    def told(tally: list[Any] | None) -> str:
        return "no such table" if tally is None else f"{tally[0]} rows"

    several = [f"{name}: {told(both['copy'])}, there {told(both['primary'])}" for name, both in unlike.items()]
    more = f"; and {len(several) - SHOWN} tables more" if len(several) > SHOWN else ""
    return {
        "what": f"Its rows are not the primary's, in {_many(len(unlike), 'table')}.",
        "why": f"At {position}, "
        + "; ".join(several[:SHOWN])
        + more
        + ". Where the numbers are alike, the contents are not.",
        "next": "Verify the other vaults: if they differ as well, the primary's disk was changed past its own log. Look at both before "
        "a failover, and take no new snapshot of the primary until you know which is right.",
    }
