"""Plan -> Journal: run each step, and say so before and after.

A step re-reads its facts and does nothing where nothing is needed, so a plan that was
interrupted anywhere is simply run again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from resilience.decide.difference import differences
from resilience.engine.declared import refuse_undeclared
from resilience.engine.run import Run, sets_out_to_seal
from resilience.engine.steps import ACTIONS
from resilience.errors import BrokenChain, Refused, ResilienceError
from resilience.model import Event, Fleet, Plan, SignOff, Step
from resilience.ports import World, in_turn

Note = Callable[[str, Step, Mapping[str, Any]], None]

BESIDE = frozenset({"snapshot", "open", "up"})
"""Plans that change nothing about which site is to serve: a timer's, what a stopped command says to type, or what brings up a site as it is."""


@dataclass(frozen=True)
class Approval:
    """Which plan was read and which of its hazards are accepted, and by whom."""

    digest: str
    accepted: frozenset[str]
    by: str
    sign_offs: tuple[SignOff, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The options that steered the plan, as they were typed."""


def approve(world: World, plan: Plan, approval: Approval, read: Plan | None = None) -> None:
    """Journal the decision; Refused when it is for another plan (`read`, where it is known) or leaves a hazard open."""
    if approval.digest != plan.digest:
        changed = " ".join(differences(read, plan)) if read else ""
        raise Refused(
            f"The plan is {plan.digest} now, and {approval.digest} was approved.",
            changed or "The world changed since that plan was made, or the digest is mistyped.",
            "Read the plan again and approve the digest that it prints.",
        )
    if left := plan.unaccepted(approval.accepted):
        names = " ".join(f"--accept {hazard.name}" for hazard in left)
        raise Refused(
            f"Not accepted: {', '.join(hazard.name for hazard in left)}.",
            " ".join(hazard.why for hazard in left),
            f"If that is what you want, add: {names}",
        )
    _refuse_unsigned(plan, approval)
    decided = {
        "digest": plan.digest,
        "by": approval.by,
        "accepted": sorted(approval.accepted),
        "signed_off": [asdict(sign_off) for sign_off in approval.sign_offs],
        "asked": dict(approval.asked),
    }
    world.log.append(Event(world.clock.now(), "plan", {"plan": plan.to_json()}))
    world.log.append(Event(world.clock.now(), "decided", decided))


def _refuse_unsigned(plan: Plan, approval: Approval) -> None:
    """An order is not accepted by a name alone: who stands for it, for which order, since when. A rehearsal opens nothing."""
    if plan.kind == "rehearsal":
        return
    orders = [hazard.reference.strip() for hazard in plan.hazards if hazard.name == "legal-order"]
    signed = {sign_off.reference for sign_off in approval.sign_offs}
    if left := [reference for reference in orders if reference not in signed]:
        raise Refused(
            f"Nobody signed off on going on under {', '.join(left)}.",
            "A binding order is another matter than a vendor's decision: a person with the standing must stand for it.",
            f'Add: --sign-off "WHO; {left[0]}; YYYY-MM-DD"',
        )


def execute(world: World, fleet: Fleet, plan: Plan, watch: Callable[[Event], None] = lambda _: None) -> None:
    """Run the plan's groups in order, the lanes of each side by side.

    A step that fails ends its lane, and the plan once the group's other lanes have ended; its error is raised.
    Vaults at vendors that the plan counts as lost have no door in the World that the steps see. Refused where the fleet
    no longer declares what a step needs.
    """
    refuse_undeclared(fleet, plan)
    closed = frozenset(v.name for v in fleet.vaults if v.vendor in plan.lost or v.name in plan.unheard)
    run, telling = Run(world.without(closed, forced=plan.forced), fleet, plan), threading.Lock()
    run.note("under-way", digest=plan.digest)

    def note(kind: str, step: Step, data: Mapping[str, Any]) -> None:
        head = {"id": step.id, "action": step.action, "phase": str(step.phase)}
        event = Event(world.clock.now(), kind, {**head, "subject": step.subject, **data})
        with telling:
            world.log.append(event)
            watch(event)

    try:
        for group in plan.groups:
            lanes = [[partial(_carry_out, run, step, note) for step in lane] for lane in group]
            world.together([partial(in_turn, lane) for lane in lanes])
    except Refused:
        if plan.kind == "switchover" and not run.set_out_to_seal():
            run.note("ended", digest=plan.digest)  # everything is as it was: what was approved was for facts of then
        raise
    world.log.append(Event(world.clock.now(), "finished", {"digest": plan.digest}))


def _carry_out(run: Run, step: Step, note: Note) -> None:
    """One step, journalled before and after."""
    note("step-started", step, {"reason": step.reason})
    try:
        facts = ACTIONS[step.action](run, step)
    except ResilienceError as error:
        lost = {"missing": error.missing, "good_until": error.good_until} if isinstance(error, BrokenChain) else {}
        note("step-failed", step, {"what": error.what, "why": error.why, "next": error.next, **lost})
        raise
    note("step-done", step, {"facts": dict(facts)})


def unfinished(world: World, kind: str) -> Plan | None:
    """The newest plan of this kind that was approved and neither finished, nor ended as it was refused, nor overtaken.

    Once it set out to seal, what is done beside it does not overtake it: planned anew, it would leave the site that it made,
    or know nothing of the vault that it did not fill yet.
    """
    found: Plan | None = None
    sealing = False
    for event in world.log.read():
        if event.kind == "plan":
            plan = Plan.from_json(event.data["plan"])
            if not (found and sealing and _beside(plan, found)):
                found, sealing = (plan if plan.kind == kind else None), False
        elif sets_out_to_seal(event):
            sealing = found is not None
        elif event.kind in {"finished", "ended"} and found and event.data["digest"] == found.digest:
            found = None
    return found


def _beside(plan: Plan, found: Plan) -> bool:
    """Whether the one leaves the other to be gone on with: it is no new plan for the very same thing."""
    return plan.kind in BESIDE and (plan.kind, plan.target) != (found.kind, found.target)


def asked_for(world: World, digest: str) -> Mapping[str, Any]:
    """The options with which the plan of this digest was last approved; empty where none steered it."""
    decided = [e.data for e in world.log.read() if e.kind == "decided" and e.data["digest"] == digest]
    return decided[-1].get("asked", {}) if decided else {}
