"""Provision: hosts from the stack, and what they are set up from."""

from __future__ import annotations

from resilience.engine.observe import read
from resilience.engine.run import Facts, Run
from resilience.engine.stack_state import bring, keep
from resilience.errors import Refused
from resilience.model import Site, SiteOutputs, Step, Unknown
from resilience.replication.epoch import numbered, own_epochs


def supplies(run: Run, step: Step) -> Facts:
    """Put what hosts are set up from into every vault."""
    return run.world.supplies.put()


def provision(run: Run, step: Step) -> Facts:
    """Make the site's hosts, unless another machine made them, then or since; their state is in the vaults before anything depends on them."""
    site = run.fleet.site(step.subject)
    brought = {} if _keeps_its_own(run, site) else bring(run, site)
    outputs = run.world.clouds[site.name].outputs(site)
    if run.plan.kind == "failover" and site.standby == "hot" and outputs is not None and _stands_by(run, site, outputs):
        return {**outputs.to_json(), **brought, "already": True}
    made = run.world.clouds[site.name].up(site)
    kept = keep(run.world, run.fleet.name, site, tuple(run.world.vaults))
    return {**made.to_json(), **brought, "state": kept["vaults"]}


def _keeps_its_own(run: Run, site: Site) -> bool:
    """Whether nothing is brought: a rehearsal's host is its own, and what this machine let go (`stack forget`) it does not take over again.

    Hosts that an interrupted command made for the epoch before are taken over all the same.
    """
    if run.plan.kind == "rehearsal":
        return True
    cloud = run.world.clouds[site.name]
    if cloud.outputs(site) is not None or cloud.state(site) is not None:
        return False
    knew = any(e.kind == "state-known" and e.data["site"] == site.name for e in run.world.log.read())
    return knew and not _begun_before(run, site)


def _begun_before(run: Run, site: Site) -> bool:
    """Whether the epoch before this one was the same site's: somebody may have made its hosts on another machine."""
    world = run.world
    older = numbered(world.vaults, run.newest().parent, world.signer.verify) if run.plan.kind == "failover" else []
    return any(record.site == site.name for record in older)


def _stands_by(run: Run, site: Site, outputs: SiteOutputs) -> bool:
    """Whether the host is there and follows: then no engine has to look whether it should be made."""
    seen = read(lambda: run.world.plane.status(site, outputs))
    return not isinstance(seen, Unknown) and seen.get("role") == "standby"


def recognize(run: Run, step: Step) -> Facts:
    """Refused unless the database there came into being under the site's epoch: before anything on the host is told of that epoch.

    Of an epoch that only continues another one it is that one's; nothing is noted in a database that was made on the first day. A host
    is told of an epoch only once what it had before was set aside or recognized: older epochs may be in no vault any more.
    """
    site = run.fleet.site(step.subject)
    found = run.world.plane.database(site, run.outputs(site.name))
    epochs = own_epochs(run.world.vaults, run.epoch(site.name), run.world.signer.verify)
    made_there = not found["nonce"] and not epochs[-1].parent
    ours = made_there or not {found["nonce"], found["told"]}.isdisjoint(epoch.nonce for epoch in epochs)
    if not (found["there"] and ours):
        raise Refused(
            f"{site.name} stays as it is: epoch {epochs[0].number} lets it write, and the database of that epoch is not there.",
            "A failover, a restore or a move to it stopped half-way"
            + (", and what lies there is older." if found["there"] else "."),
            "Type the command that stopped again: it goes on. Where nobody knows of one: `resilience plan`.",
        )
    return {"nonce": found["nonce"]}


def shape(run: Run, step: Step) -> Facts:
    """Bring the host into shape from supplies."""
    site = run.fleet.site(step.subject)
    if step.args.get("standby"):
        epoch = run.others_epoch(site.name)
    else:
        epoch = run.epoch(site.name)
        run.tell(site.name)
    return run.world.plane.shape(site, run.outputs(site.name), run.to_tell(site.name, epoch))
