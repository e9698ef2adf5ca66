"""How much WAL lies between the newest snapshot and now, and how quickly such WAL was replayed."""

from __future__ import annotations

from collections.abc import Iterable

from resilience.decide.quorum import newest_epoch
from resilience.model import Event, Survey, Unknown, known
from resilience.model.replay import Replay
from resilience.replication import layout, lsn

TELLING = 64 << 20
"""Bytes of WAL below which a replay tells how long Postgres takes to start, not how quickly it replays."""


def snapshot_at(events: Iterable[Event]) -> float:
    """When this machine last had a snapshot taken; 0 where it never did."""
    done = (e for e in events if e.kind == "step-done" and e.data.get("action") == "protect")
    return max((event.when for event in done), default=0.0)


def replay(survey: Survey, events: Iterable[Event]) -> Replay | None:
    """What a cold restore would replay now; None where ship does not say how far it is, or no vault has a snapshot."""
    epoch = newest_epoch(survey)
    site = survey.sites.get(epoch.site) if epoch else None
    if epoch is None or site is None or isinstance(site.ship, Unknown) or "server_lsn" not in site.ship:
        return None
    labels = (seen.snapshot for seen in survey.vaults.values() if isinstance(seen.snapshot, str))
    starts = [found[1] for found in map(layout.labelled, labels) if found is not None]
    if not starts:
        return None
    written = max(0, lsn.parse(str(site.ship["server_lsn"])) - max(starts))
    follows = {"role": "standby", "epoch": epoch.number}
    followed = any(follows.items() <= (known(seen.ship) or {}).items() for seen in survey.sites.values())
    tried = [
        event.data for event in events if event.kind == "verified" and event.data.get("replay_bytes", 0) >= TELLING
    ]
    if not tried:
        return Replay(written, followed=followed)
    last = tried[-1]
    return Replay(written, last["replay_bytes"] / last["replay_s"], last["restore_s"] - last["replay_s"], followed)
