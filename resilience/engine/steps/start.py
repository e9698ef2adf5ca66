"""Start: the app runs, and is looked at before anybody is led to it."""

from __future__ import annotations

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError
from resilience.model import Step

RESURRECTED = "taken-down posts can be seen again"


def start(run: Run, step: Step) -> Facts:
    """Start the app on the site's host, if the epoch is still ours."""
    run.epoch(step.subject)
    outputs = run.outputs(step.subject)
    run.world.app.start(outputs)
    return {"address": outputs.addresses[0]}


def verify(run: Run, step: Step) -> Facts:
    """Compare rows, pictures and takedowns, and let a user through by address."""
    outputs = run.outputs(step.subject)
    facts = run.world.app.facts(outputs)
    found, taken = facts["media"], facts["takedowns"]
    run.note("media-checked", **{k: found[k] for k in ("objects", "missing", "corrupt")})
    run.note("takedowns-checked", **{k: taken[k] for k in ("issued", "resurrected")})
    if taken["resurrected"]:
        raise ResilienceError(
            f"On {step.subject} {RESURRECTED}: {', '.join(map(str, taken['resurrected'][:5]))}.",
            "The ledger was replayed, and the app still shows them.",
            "The name was not moved. Stop the app there and look at its ledger.",
        )
    walked = run.world.outside.journey(outputs.addresses[0])
    return {"rows": facts["posts"], "missing": len(found["missing"]), "journey": list(walked.steps)}
