"""Start: the app runs behind a closed gate, is looked at, and is opened stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from resilience.decide.gates import LOSE_PICTURES, Findings, unmet
from resilience.decide.heard import SOON, lacking, unheard
from resilience.engine.accepting import way_past
from resilience.engine.anchor import anchor
from resilience.engine.looking import app_facts, missing_media, note_media
from resilience.engine.observe import read
from resilience.engine.run import Facts, Run
from resilience.errors import Refused
from resilience.model import EpochRecord, SiteOutputs, Stage, Step, Unknown
from resilience.ports import Journey


def begin(run: Run, step: Step) -> Facts:
    """Let ship and the app start behind a closed gate; none needs this to work."""
    epoch, outputs, site = run.epoch(step.subject), run.outputs(step.subject), run.fleet.site(step.subject)

    def ahead() -> None:
        run.world.gate.begin(outputs, [epoch.nonce])
        run.world.plane.begin_ship(site, outputs, epoch)
        run.world.app.begin(outputs)

    begun = read(ahead)
    return {"why_not": begun.why} if isinstance(begun, Unknown) else {}


def start(run: Run, step: Step) -> Facts:
    """Start the app on the site's host behind its gate, if the epoch is still ours; what serves already stays as far open as it is."""
    epoch, outputs = run.epoch(step.subject), run.outputs(step.subject)
    sealed_here = run.set_out_to_seal()  # then nothing was written before it
    stage = run.world.gate.begin(outputs, [epoch.nonce] if sealed_here else run.written_under(epoch))
    run.world.app.start(outputs)
    return {"address": outputs.addresses[0], "stage": str(stage)}


def verify(run: Run, step: Step) -> Facts:
    """Compare rows, pictures, takedowns and the ledger, and let a user through by address."""
    epoch, outputs = run.epoch(step.subject), run.outputs(step.subject)
    looks: Mapping[str, Callable[[], Any]] = {
        "facts": lambda: app_facts(run, step.subject),
        "nowhere": lambda: run.world.plane.nowhere(run.fleet.site(step.subject), outputs),
        "anchor": lambda: anchor(run),
        "walked": lambda: _walk(run, epoch, outputs),
    }
    seen: dict[str, Any] = {}
    run.world.together([partial(lambda name, look: seen.update({name: look()}), *each) for each in looks.items()])
    facts, missing = seen["facts"], missing_media(seen["facts"]["media"], seen["nowhere"])
    note_media(run, facts["media"], missing)
    counts = {"missing": missing, "corrupt": len(facts["media"]["corrupt"]), "resurrected": 0}
    ledger = {"ledger": int(facts["ledger"]["entries"]), "anchor": seen["anchor"]}
    run.note("looked", nonce=epoch.nonce, **counts, **ledger)
    return {"rows": facts["posts"], **counts, **ledger, "journey": list(seen["walked"].steps)}


def _walk(run: Run, epoch: EpochRecord, outputs: SiteOutputs) -> Journey:
    """A user's journey by address, past the closed gate."""
    gate_pass = run.world.signer.gate_pass(epoch.site, epoch.number)
    root = run.world.gate.root(outputs) if run.fleet.names.authorities else ""
    return run.world.outside.journey(outputs.addresses[0], gate_pass, root)


def open_up(run: Run, step: Step) -> Facts:
    """Open the site's gate one stage further, if what that stage needs was found."""
    epoch, outputs, stage = run.epoch(step.subject), run.outputs(step.subject), Stage(step.args["stage"])
    if run.world.gate.stage(outputs).covers(stage):
        return {"stage": str(stage), "already": True}
    if not step.args.get("first_day"):
        _refuse_unmet(run, step, stage, epoch)
        if stage == Stage.SIGN_UPS and (held := _nobody_moderates(run, step.subject)):
            run.note("held", stage=str(stage), site=step.subject, why=held)
            return {"stage": str(run.world.gate.stage(outputs)), "held": held}
    run.world.gate.set(outputs, stage)
    run.note("opened", stage=str(stage), site=step.subject)
    return {"stage": str(stage)}


def _refuse_unmet(run: Run, step: Step, stage: Stage, epoch: EpochRecord) -> None:
    """What was found while the gate was closed still holds: nobody could write meanwhile."""
    mend = f"Mend that, then run `resilience open {stage}`"
    looked = [event for event in run.world.log.read() if event.kind == "looked" and event.data["nonce"] == epoch.nonce]
    if not looked:
        raise _not_opened(step.subject, stage, "nobody looked at it yet", mend)
    found = Findings.of(looked[-1].data)
    if why := unmet(stage, found, may_lose=True):
        raise _not_opened(step.subject, stage, why, mend)
    if (why := unmet(stage, found, may_lose=False)) and not run.accepts(epoch, *LOSE_PICTURES):
        way = way_past(run, "loses-pictures", step.subject)
        raise _not_opened(
            step.subject,
            stage,
            why,
            f"Bring back a vault that has them and run the same command again; where they are gone for good, {way}",
        )


def _not_opened(site: str, stage: Stage, why: str, then: str) -> Refused:
    return Refused(
        f"{site} is not opened up to {stage}.",
        f"{why[0].upper()}{why[1:]}.",
        f"{then}; until then the site stays as far open as it is.",
    )


def _nobody_moderates(run: Run, site: str) -> str | None:
    """Why sign-ups must wait: whoever joins could not be reported to anybody."""
    queue = run.world.app.queue(run.outputs(site))
    if not queue["moderators"]:
        return "nobody moderates: appoint somebody (docs/first-day.md, 7), then run `resilience open sign-ups`"
    if not queue["reached"]:
        return "no moderator gets to the queue: see the app's log, then run `resilience open sign-ups`"
    return None


def close(run: Run, step: Step) -> Facts:
    """Close the site's gate down to a stage; at once, and without a condition."""
    if _closed_by_seal(run, step.subject):
        return {"already": True}
    outputs, stage = run.outputs(step.subject), Stage(step.args["stage"])
    at = run.world.gate.stage(outputs)
    if not stage.covers(at):
        if run.plan.kind == "switchover":
            _refuse_undrainable(run, step.subject)
        run.world.gate.set(outputs, stage)
        run.note("closed", stage=str(stage), site=step.subject, was=str(at))
    return {"stage": str(stage if not stage.covers(at) else at), "was": str(at)}


def _closed_by_seal(run: Run, site: str) -> bool:
    """Whether this plan closed it before, and went on: its vendor may be gone by now, or what serves there is what was restored."""
    moved_on = run.plan.target != site and run.newest().site != site
    return moved_on or bool(run.found("stand-down", site))


def _refuse_undrainable(run: Run, site: str) -> None:
    """Ship may have died since the plan was made, or a vault be slow: nobody is kept from writing for a drain that can't pass."""
    said = run.world.plane.shipped(run.fleet.site(site), run.outputs(site))
    if why := unheard(site, said):
        raise Refused(f"{site} goes on serving.", f"{why[0].upper()}{why[1:]}.", "Mend that, then run this again.")
    if why := lacking(said, SOON):
        raise Refused(
            f"{site} goes on serving: more waits for its vaults than goes while writes pause.",
            f"At most {SOON} are waited for at each: {why}.",
            "Nothing was closed. Wait until they have gone; where they do not, see why on its host (`journalctl -u resilience-ship`). Then plan again.",
        )
