"""Name: users are led to the site that serves."""

from __future__ import annotations

import stamina

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError
from resilience.model import Step


def point(run: Run, step: Step) -> Facts:
    """Let one DNS vendor serve the site's address, if the epoch is still ours."""
    site = str(step.args["site"])
    run.epoch(site)
    names, outputs = run.fleet.names, run.outputs(site)
    run.world.zones[step.subject].point(names.host, outputs.addresses[:1], names.ttl_s)
    return {"host": names.host, "address": outputs.addresses[0], "ttl_s": names.ttl_s}


def confirm(run: Run, step: Step) -> Facts:
    """Repeat a user's journey by name until it succeeds, for at most two lifetimes of the TTL."""
    run.epoch(step.subject)
    address = run.outputs(step.subject).addresses[0]
    names = run.fleet.names
    limit = 2 * names.ttl_s + 30
    attempts = 0
    for attempt in stamina.retry_context(
        on=ResilienceError, attempts=None, timeout=limit, wait_initial=0.25, wait_max=0.5
    ):
        with attempt:
            attempts += 1
            walked = run.world.outside.journey()
            if walked.address != address:
                raise ResilienceError(
                    f"{names.host} still leads to {walked.address}.",
                    "Resolvers keep an old answer for its TTL.",
                    "Run the same command again; the name was moved.",
                )
    at = run.world.clock.now()
    run.note("journey", ok=True, at=at, by="name", address=walked.address, steps=list(walked.steps))
    return {"attempts": attempts}
