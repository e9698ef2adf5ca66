"""What an evacuation needs to know: how much there is, how much is left, and how quickly vaults give it to this machine.

The bytes go from a vault to the target's host. That host is not made yet where the target is cold, so it is not measured there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilience.decide.evacuation import Evacuation, evacuation
from resilience.decide.heard import follows, unfollowed
from resilience.engine.observe import read
from resilience.errors import ResilienceError
from resilience.model import Fleet, Notice, Reading, Site, Unknown
from resilience.ports import Clock, Vault, World
from resilience.replication import layout

PROBE_S, PROBE_OBJECTS = 3.0, 200
LEDGER_ENTRY = 1_000
"""About how many bytes one entry takes."""


@dataclass(frozen=True)
class Moving:
    """From which site to which, before which deadline."""

    notice: Notice
    source: str
    target: str


def measure(world: World, fleet: Fleet, moving: Moving, keys_bytes: int) -> Evacuation:
    """What is still to copy until the target has everything, at the rate that a vault elsewhere gives this machine right now."""
    outputs = world.clouds[moving.source].outputs(fleet.site(moving.source))
    if outputs is None:
        raise ResilienceError(f"{moving.source} has no hosts.", "Nothing runs there.", "Run `resilience status`.")
    status = world.plane.status(fleet.site(moving.source), outputs)
    if "media_bytes" not in status:
        raise ResilienceError(
            f"{moving.source} does not say what its pictures take.",
            "Its host runs an earlier version of ours.",
            f"Run `resilience up {moving.source}`, then this again.",
        )
    safe = {v.name: world.vaults[v.name] for v in fleet.sealing if v.vendor != moving.notice.vendor}
    sizes = _sizes(status, _entries(safe), keys_bytes)
    left = _left(status, sizes, read(lambda: _said(world, fleet.site(moving.target))))
    rates = {name: rate for name, vault in safe.items() if (rate := read_rate(world.clock, vault))}
    quickest = max(rates, key=lambda name: rates[name], default="")
    return evacuation(sizes, left, rates.get(quickest), world.clock.now(), moving.notice.deadline_at, quickest)


def _sizes(status: Mapping[str, Any], entries: int, keys_bytes: int) -> dict[str, int]:
    media, recent = int(status["media_bytes"]), int(status.get("recent_media_bytes", 0))
    return {
        "database": int(status["db_bytes"]),
        "ledger": entries * LEDGER_ENTRY,
        "keys": keys_bytes,
        "recent media": min(recent, media),
        "old media": max(0, media - recent),
    }


def _said(world: World, target: Site) -> Mapping[str, Any]:
    """What the target says of itself, as a survey sees it; nothing where nothing runs there or is to follow."""
    outputs = world.clouds[target.name].outputs(target) if target.standby == "hot" else None
    return {} if outputs is None else world.plane.status(target, outputs)


def _left(status: Mapping[str, Any], sizes: Mapping[str, int], said: Reading[Mapping[str, Any]]) -> Mapping[str, int]:
    """A target that follows, and says how far, has all but what the slowest vault lacks; any other has nothing."""
    if isinstance(said, Unknown) or not follows(said) or unfollowed("", said):
        return sizes
    behind = _behind(status, sizes)
    if said.get("pictures_lacking") is None:  # it has not looked at all rows yet
        return {**behind, "recent media": sizes["recent media"], "old media": sizes["old media"]}
    return behind


def _behind(status: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    vaults = [vault for vault in status.get("vaults", {}).values() if isinstance(vault, Mapping)]
    objects = max((int(vault.get("backlog_objects", 0)) for vault in vaults), default=0)
    return {
        "database": int(status.get("lag_bytes", 0)),
        "recent media": sizes["recent media"] if objects else 0,
    }


def _entries(vaults: Mapping[str, Vault]) -> int:
    return max((len(vault.list("ledger/")) for vault in vaults.values()), default=0)


def read_rate(clock: Clock, vault: Vault, least: int = 1) -> float | None:
    """Bytes a second that one vault gives to one reader, one object after another; None where it gives less than `least`."""
    began, found = clock.now(), 0
    try:
        for key in vault.list(layout.MEDIA)[:PROBE_OBJECTS]:
            found += len(vault.get(key) or b"")
            if clock.now() - began > PROBE_S:
                break
    except ResilienceError:
        return None
    took = clock.now() - began
    return found / took if found >= least and took > 0 else None
