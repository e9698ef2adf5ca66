"""Hand over: what a switchover asks of the site that is alive and stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import stamina

from resilience.decide.heard import lacking, unfollowed, unheard
from resilience.engine.run import Facts, Run
from resilience.errors import Refused, ResilienceError, VendorClosed
from resilience.model import EpochRecord, Site, Stage, Step

DRAIN_S = 20.0
AHEAD_S = 20 * 3600.0
"""Longer than that a move does not wait for old pictures."""


class _Behind(Exception):
    """Some vault lacks something that was written, or may."""


def prepare(run: Run, step: Step) -> Facts:
    """Install on the target what takes long, under an epoch that is nobody's: it may not write by it."""
    site = run.fleet.site(step.subject)
    number, vaults = int(step.args["number"]), tuple(step.args["vaults"])
    nobody = EpochRecord(number, site.name, "", 0, vaults, int(step.args["k"]), int(step.args["s"]), 0.0, "", "")
    if run.newest().site == site.name:
        return {"already": True}
    return run.world.plane.shape(site, run.outputs(site.name), nobody)


def ahead(run: Run, step: Step) -> Facts:
    """Bring the pictures that there are, in the time that there is; what is left comes once the site is open.

    Refused, while nobody noticed anything, where one that a row names can't be had.
    """
    site, source = run.fleet.site(step.subject), run.fleet.site(run.plan.source)
    if run.newest().site == site.name:
        return {"already": True}
    if step.args.get("follows"):
        if why := unfollowed(site.name, run.world.plane.status(site, run.outputs(site.name))):
            raise Refused(
                f"{source.name} goes on serving.", f"{why[0].upper()}{why[1:]}.", "Mend that, then plan again."
            )
        _refuse_out_of_reach(run, site)
        return {}
    now = run.world.clock.now()
    within = min(AHEAD_S, float(step.args.get("until", now + AHEAD_S)) - now)
    if within <= 0:
        return {"too_late": True}
    brought = run.world.plane.fetch_ahead(site, run.outputs(site.name), within)
    if brought["left"]:  # what rows name would be brought first, in time that nobody has
        _refuse_lost(run, site, _still_named(run, brought["lost"]))
    elif named := run.world.plane.named(source, run.outputs(source.name)):
        _refuse_out_of_reach(run, site, named)
    return {count: brought[count] for count in ("objects", "fetched", "left")}


def _refuse_out_of_reach(run: Run, site: Site, named: Sequence[str] = ()) -> None:
    """Refused where no vault gives one of these, or of all that a standby's rows name, also not a little later: one may be on its way."""
    left = named

    @stamina.retry(on=_Behind, attempts=None, timeout=DRAIN_S, wait_initial=0.2, wait_max=1.0)
    def look() -> None:
        nonlocal left
        left = _still_named(run, run.world.plane.out_of_reach(site, run.outputs(site.name), left))
        if left:
            raise _Behind

    try:
        look()
    except _Behind:
        _refuse_lost(run, site, left)


def _still_named(run: Run, pictures: Sequence[str]) -> Sequence[str]:
    """What was deleted meanwhile is in nobody's way."""
    return sorted(run.world.app.still_named(run.outputs(run.plan.source), pictures)) if pictures else ()


def _refuse_lost(run: Run, site: Site, lost: Sequence[str]) -> None:
    if lost:
        raise Refused(
            f"{run.plan.source} goes on serving: {len(lost)} pictures that rows name could not be brought to {site.name}.",
            f"{', '.join(lost[:3])}: no vault that answers gives them as they were.",
            "Nothing was closed. Wait where they are still on their way (`resilience status`), bring a vault back that has them, "
            "or have what shows them deleted; run the same command again.",
        )


def clear(run: Run, step: Step) -> Facts:
    """Set aside what an earlier epoch left on the host; nothing is deleted, and nothing of it is trusted."""
    site = run.fleet.site(step.subject)
    return run.world.plane.set_aside(site, run.outputs(site.name), run.newest())


def snapshot(run: Run, step: Step) -> Facts:
    """A snapshot of the site that still serves; nothing where it is superseded already."""
    if run.newest().site != step.subject:
        return {"already": True}
    site = run.fleet.site(step.subject)
    copied = run.world.plane.snapshot(site, run.outputs(site.name))
    return {"snapshots": dict(copied.taken), "doubts": dict(copied.failed)}


def drain(run: Run, step: Step) -> Facts:
    """Wait until every vault holds everything; else open the site again as it was, and refuse."""
    site = run.fleet.site(step.subject)
    if run.newest().site != site.name:
        return {"already": True}
    try:
        return _drained(run, site.name)
    except (_Behind, ResilienceError) as error:
        open_again(run, site.name)
        raise Refused(
            f"{site.name} goes on serving: it is not known that every vault holds everything.",
            f"{error}",
            "Nothing was promoted. Bring the vaults up to date (`resilience status`), then plan again.",
        ) from error


def open_again(run: Run, site: str) -> None:
    """As far as it was open before it was closed, whichever attempt of this plan did that."""
    closed = [event.data["was"] for event in run.events("closed") if event.data["site"] == site]
    if closed:
        run.world.gate.set(run.outputs(site), Stage(closed[-1]))
        run.note("opened", stage=closed[-1], site=site)


def _drained(run: Run, name: str) -> Facts:
    site, clock = run.fleet.site(name), run.world.clock
    began = clock.uptime().seconds

    @stamina.retry(on=_Behind, attempts=None, timeout=DRAIN_S, wait_initial=0.05, wait_max=0.2)
    def ask() -> Facts:
        since = clock.uptime().seconds - began
        status = run.world.plane.shipped(site, run.outputs(name))
        if why := unheard(name, status) or _unsaid(name, status, since) or _behind(status):
            raise _Behind(f"After {DRAIN_S:.0f} s {why}.")
        return {"confirmed_lsn": status["confirmed_lsn"]}

    return ask()


def _unsaid(site: str, said: Mapping[str, Any], since_s: float) -> str | None:
    """What was written right before the site was closed is in nobody's count that is older."""
    return f"ship of {site} said nothing since it was closed" if abs(said["age_s"]) > since_s else None


def _behind(said: Mapping[str, Any]) -> str | None:
    """Which vaults lack WAL, or pictures, keys and ledger entries."""
    behind = {vault: seen["lag_bytes"] for vault, seen in said["vaults"].items() if seen["lag_bytes"]}
    if behind or said["lag_bytes"]:
        return f"vaults still lack bytes: {behind}"
    return lacking(said)


def _kept(error: ResilienceError) -> str:
    return "" if isinstance(error, VendorClosed) else f"{error.next} "


def _without(run: Run, site: Site) -> str:
    """How a move goes on once it is sealed and the old site can't say any more what it wrote last."""
    return (
        f"Nothing is promoted yet. If {site.vendor} is gone: `resilience plan --lost {site.vendor} --to {run.plan.target}`, "
        "then the failover that it shows. All vaults held all that users wrote when writes paused; lost is at most "
        f"what was under way then, and what {site.name} wrote by itself since."
    )


def stand_down(run: Run, step: Step) -> Facts:
    """Stop the old site for good under its old epoch; where its WAL ends is what the new one must reach."""
    if before := run.found("stand-down", step.subject):
        return before  # in a restore another copy may run there by now
    site = run.fleet.site(step.subject)
    try:
        ended: Mapping[str, Any] = run.world.plane.stand_down(site, run.outputs(site.name))
    except ResilienceError as error:
        if run.plan.kind == "switchover":
            error.next = f"{_kept(error)}{_without(run, site)}"
        raise
    run.note("stood-down", site=site.name, nonce=run.newest().nonce, end_lsn=ended["end_lsn"])
    return ended
