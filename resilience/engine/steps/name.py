"""Name: users are led to the site that serves."""

from __future__ import annotations

from typing import NoReturn

import stamina

from resilience.engine import certificates
from resilience.engine.observe import read
from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError, VendorClosed
from resilience.model import Stage, Step, Unknown
from resilience.ports import Journey

ISSUED_WITHIN_S = 180.0
"""An authority looks at the name from several places, and resolvers may keep its old address for a while."""


def point(run: Run, step: Step) -> Facts:
    """Let one DNS vendor serve the site's address, if the epoch is still ours."""
    site = str(step.args["site"])
    run.epoch(site)
    names, outputs = run.fleet.names, run.outputs(site)
    if _kept_closed(run, site):
        return {"closed": True}
    try:
        run.world.zones[step.subject].point(names.host, outputs.addresses[:1], names.ttl_s)
    except ResilienceError as error:
        kept = "" if isinstance(error, VendorClosed) else f"{error.next} "  # a closed account's is for a site's vendor
        error.next = f"{kept}If {step.subject} is gone: `{_without(run, step.subject, site)}`."
        raise
    return {"host": names.host, "address": outputs.addresses[0], "ttl_s": names.ttl_s}


def _kept_closed(run: Run, site: str) -> bool:
    """Whether an `up` found the site closed: it opens it to nobody, and no name moves to where nobody may even read."""
    return run.plan.kind == "up" and run.world.gate.stage(run.outputs(site)) == Stage.CLOSED


def _without(run: Run, vendor: str, site: str) -> str:
    """The command that goes on without this DNS vendor, too: from another site, where the site is at that vendor."""
    command = "plan" if run.fleet.site(site).vendor == vendor else "protect"
    lost = dict.fromkeys((*run.plan.lost, vendor))
    return " ".join(["resilience", command, *(f"--lost {name}" for name in lost)])


def delegate(run: Run, step: Step) -> Facts:
    """Ask the parent zone whether users are sent to a name server that is left; else say what to change, and where."""
    keep, remove = [str(s) for s in step.args["keep"]], [str(s) for s in step.args["remove"]]
    host = run.fleet.names.host
    shown = read(lambda: run.world.outside.nameservers(host))
    if isinstance(shown, Unknown) and keep:
        return {"unknown": shown.why}
    seen = () if isinstance(shown, Unknown) else shown
    if not set(seen) & set(keep):
        enter = f"enter {', '.join(keep)}" if keep else "declare a zone at another vendor and enter its name servers"
        raise ResilienceError(
            f"{host} is delegated to {', '.join(seen) or 'nobody that is known'}: no name server that is left.",
            "Every name server that the parent zone names is at a lost vendor.",
            f"At {step.subject}: take out {', '.join(remove) or 'all'}, and {enter}. Then run the same command again.",
        )
    return {"delegated": list(seen), "still": [server for server in seen if server in remove]}


def certify(run: Run, step: Step) -> Facts:
    """Wait until the site has a certificate for the name, and bring it into the vaults; at once where one travelled."""
    run.epoch(step.subject)
    if _kept_closed(run, step.subject):
        return {"closed": True}
    return certificates.keep(run, run.fleet.site(step.subject), ISSUED_WITHIN_S)


def by_address(run: Run, step: Step) -> Facts:
    """See users get through at the address, note that the name leads nowhere, and say what a person changes where."""
    run.epoch(step.subject)
    address, host = run.outputs(step.subject).addresses[0], run.fleet.names.host
    if Stage(step.args["stage"]).covers(Stage.WRITES):
        walked = run.world.outside.journey(address)
        run.note("journey", ok=True, at=run.world.clock.now(), by="address", address=address, steps=list(walked.steps))
    remove = ", ".join(map(str, step.args["remove"])) or "the lost vendors' name servers"
    change = (
        f"Declare a zone at another DNS vendor in the fleet file, unless one comes back. At {step.args['registrar'] or 'the registrar'} take out "
        f"{remove}, and enter that vendor's. Then `resilience protect` with the same --lost points {host} to {address}."
    )
    run.note("name-stays", site=step.subject, address=address, change=change)
    return {"address": address, "change": change}


def confirm(run: Run, step: Step) -> Facts:
    """Repeat a user's journey by name until it succeeds, for at most two lifetimes of the TTL.

    Where writes are held, reading is what users can do, and is no proof that they are back.
    """
    run.epoch(step.subject)
    address = run.outputs(step.subject).addresses[0]
    writes = Stage(step.args["stage"]).covers(Stage.WRITES)
    attempts = 0
    for attempt in stamina.retry_context(
        on=ResilienceError, attempts=None, timeout=2 * run.fleet.names.ttl_s + 30, wait_initial=0.25, wait_max=0.5
    ):
        with attempt:
            attempts += 1
            walked = run.world.outside.journey() if writes else run.world.outside.glance()
            if walked.address != address:
                _still_old(run.fleet.names.host, walked)
    if writes:
        at = run.world.clock.now()
        run.note("journey", ok=True, at=at, by="name", address=walked.address, steps=list(walked.steps))
    return {"attempts": attempts, "stage": step.args["stage"]}


def _still_old(host: str, walked: Journey) -> NoReturn:
    raise ResilienceError(
        f"{host} still leads to {walked.address}.",
        "Resolvers keep an old answer for its TTL.",
        "Run the same command again; the name was moved.",
    )
