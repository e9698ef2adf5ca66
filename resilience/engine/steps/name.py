"""Name: users are led to the site that serves."""

from __future__ import annotations

from typing import NoReturn

import stamina

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError
from resilience.model import Stage, Step
from resilience.ports import Journey


def point(run: Run, step: Step) -> Facts:
    """Let one DNS vendor serve the site's address, if the epoch is still ours."""
    site = str(step.args["site"])
    run.epoch(site)
    names, outputs = run.fleet.names, run.outputs(site)
    run.world.zones[step.subject].point(names.host, outputs.addresses[:1], names.ttl_s)
    return {"host": names.host, "address": outputs.addresses[0], "ttl_s": names.ttl_s}


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
