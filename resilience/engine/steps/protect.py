"""Protect: copies elsewhere again, read back by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from resilience.decide import with_companions
from resilience.engine import certificates, orders
from resilience.engine import mirror as mirrors
from resilience.engine.observe import read
from resilience.engine.run import Facts, Run
from resilience.engine.stack_state import bring, keep
from resilience.engine.steps import pictures
from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import EpochRecord, Site, Step, Unknown
from resilience.ports import ReadBack, Snapshots
from resilience.replication import layout
from resilience.replication.epoch import each


def protect(run: Run, step: Step) -> Facts:
    """Take a snapshot into each vault, or have a standby take it, and have another principal verify it."""
    site = run.fleet.site(step.subject)
    ordered = _orders(run)
    copied, by = _take(run, step)
    taken = copied.taken
    with ThreadPoolExecutor(max_workers=max(1, len(taken))) as pool:
        looked = pool.map(lambda pair: (pair[0], read(lambda: run.world.plane.verify_snapshot(*pair))), taken.items())
        found = dict(looked)
    good = {vault: copy for vault, copy in found.items() if isinstance(copy, ReadBack)}
    untold = _tell(run, site, good)  # before all else: where WAL is lost commits wait for it
    renewed = read(lambda: certificates.keep(run, site))
    doubts = {v: w.why if isinstance(w, Unknown) else "not whole" for v, w in found.items() if v not in good}
    doubts = {**copied.failed, **doubts}
    if not good:
        raise ResilienceError(
            "No vault holds a snapshot that could be verified.",
            f"Taken: {dict(taken)}; what is wrong: {doubts}.",
            "The site serves, unprotected. Run the same command again; see `resilience status`.",
        )
    epoch = run.epoch(site.name)
    # once a copy is there: where WAL is lost commits wait for it, and the app's rows are locked by who waits
    brought = pictures.give_all(run, site, epoch) if run.plan.forced_to_stay else {}
    home = with_companions(run.fleet, frozenset({site.vendor}))
    elsewhere = [vault for vault in good if run.fleet.vault(vault).vendor not in home]
    protected = bool(elsewhere) and len(_holding(run, epoch)) >= epoch.s
    if protected:
        run.note("protected-again", vaults=elsewhere, snapshot=taken[elsewhere[0]])
    tls = {"certificate": renewed.why} if isinstance(renewed, Unknown) else renewed
    return {
        "snapshots": dict(taken),
        "verified": list(good),
        "doubts": doubts,
        "protected": protected,
        **brought,
        **by,
        **untold,
        **tls,
        **ordered,
    }


def bridge(run: Run, step: Step) -> Facts:
    """Where ship says that WAL is lost every post waits for a copy that leads past it: it is taken before anybody posts."""
    said = run.world.plane.shipped(run.fleet.site(step.subject), run.outputs(step.subject))
    return protect(run, step) if said.get("gap") else {"gap": None}


def _orders(run: Run) -> Facts:
    """Legal orders go wherever one was lacking; how many each vault was given, and which took none."""
    given = orders.spread(run.world)
    doubts = {name: answer.what for name, answer in given.items() if isinstance(answer, ResilienceError)}
    new = {name: count for name, count in given.items() if isinstance(count, int) and count}
    return {**({"orders": new} if new else {}), **({"orders_lacking": doubts} if doubts else {})}


def _take(run: Run, step: Step) -> tuple[Snapshots, Facts]:
    """A snapshot into each vault, by the standby that the plan names; where that can't, by the site itself."""
    plane, site, standby = run.world.plane, run.fleet.site(step.subject), step.args.get("standby")
    if standby is None:
        return plane.snapshot(site, run.outputs(site.name)), {}
    taken = read(lambda: plane.snapshot(run.fleet.site(str(standby)), run.outputs(str(standby))))
    if not isinstance(taken, Unknown):
        return taken, {"by": standby}
    return plane.snapshot(site, run.outputs(site.name)), {"by": site.name, "standby_could_not": taken.why}


def _tell(run: Run, site: Site, good: Mapping[str, ReadBack]) -> Facts:
    """The site hears which vaults gave the snapshot back, whoever took it; where it does not, its ship's word on lost WAL stands."""
    if not good:
        return {}
    told = read(lambda: run.world.plane.read_back(site, run.outputs(site.name), good))
    return {"untold": told.why} if isinstance(told, Unknown) else {}


def mirror(run: Run, step: Step) -> Facts:
    """Bring a store for copies only up to date; an object that is not what its name says is not copied, and told."""
    done = mirrors.mirror(run.world, run.newest(), step.subject, run.fleet.locked)
    if done["altered"]:
        raise ResilienceError(
            f"{step.subject} is no whole mirror of {done['of']}: {len(done['altered'])} objects there are altered.",
            ", ".join(done["altered"][:3]),
            f"Look at it with `resilience verify --vault {done['of']}`; `resilience vault revert` brings back what was "
            "put first. What the mirror held before is as it was.",
        )
    run.note("mirrored", mirror=step.subject, **done)
    return done


def sealable(run: Run, step: Step) -> Facts:
    """See whether enough vaults of the epoch are left to seal the next one; without that the app is not protected."""
    epoch = run.epoch(step.subject)
    holding = _holding(run, epoch)
    if len(holding) < epoch.s:
        raise TooFewVaults(
            f"{step.subject} serves, and could not be left: {len(holding)} of {epoch.s} vaults could seal a new epoch.",
            f"Of epoch {epoch.number}'s vaults {', '.join(epoch.vaults)} there are left: {', '.join(holding) or 'none'}.",
            "Bring one of them back and run the same command again. Where enough are left to seal and one is lost for "
            "good: `resilience protect --lost VENDOR`.",
        )
    return {"epoch": epoch.number, "vaults": holding, "needed": epoch.s}


def _holding(run: Run, epoch: EpochRecord) -> list[str]:
    """The epoch's vaults that may be called, answer and hold it: a new one could be sealed in them."""
    asked = {name: run.world.vaults[name] for name in epoch.vaults if name in run.world.vaults}
    answers = each(asked, lambda vault: vault.exists(layout.epoch(epoch.number)))
    return [name for name, answer in answers.items() if answer is True]


def stand_by(run: Run, step: Step) -> Facts:
    """Note where to go next, and whether its vendor still says that our account is open."""
    site = run.fleet.site(step.subject)
    account = run.world.accounts.get(site.vendor)
    is_open = None if account is None else read(account.is_open)
    said = is_open.why if isinstance(is_open, Unknown) else is_open
    run.note("next-standby", site=site.name, standby=site.standby, account=said)
    return {"standby": site.standby, "account": said}


def state(run: Run, step: Step) -> Facts:
    """Keep the stack's state in the vaults, as a new object; one that another machine put since is gone on with, not covered."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name) if run.plan.kind == "failover" else None
    brought = {} if run.world.clouds[site.name].state(site) is None else bring(run, site)
    kept = keep(run.world, run.fleet.name, site, epoch.vaults if epoch else tuple(run.world.vaults))
    return {**kept, **brought}
