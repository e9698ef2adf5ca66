"""Judge: Journal -> Verdict. Pure: the same journal gives the same verdict, today and in a year.

How the parts become one word:

1. A simulated drill is unknown, whatever it shows: it measured nothing real.
2. A proven miss is `missed`, even where something else is not known.
3. Otherwise anything that is not known makes it `unknown`: a missing line, a count of nothing, a number that
   cannot be true (a negative one, an RTO of 0, an RPO from too few writes), a journal that cannot be understood.
4. Only what is left is `met`: every part was measured, and is within the promise.

The RTO that is compared is the machine's: from the fault to the first user's journey by public name at the
new site, with a plan that approves itself. The declared time for a person to decide is no part of the
promised `rto_s`; it is reported on top of both sides, and so never changes the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from resilience.judge import clocks, counts, naming, rehearsal, writes
from resilience.judge.clocks import PARTS, Recovery, planned, recovery, split
from resilience.judge.evidence import Evidence, Findings, Impossible
from resilience.judge.protection import protection
from resilience.judge.writes import Write, acknowledged, lost
from resilience.model import Event, Verdict
from resilience.model.verdict import Outcome

__all__ = [
    "PARTS",
    "Evidence",
    "Impossible",
    "Recovery",
    "Write",
    "acknowledged",
    "judge",
    "lost",
    "planned",
    "recovery",
    "split",
    "verdict_json",
]


def judge(events: Sequence[Event]) -> Verdict:
    """The verdict of one journal; never an exception, and never `met` without every proof."""
    findings = Findings()
    verdict = Verdict("unknown")
    with findings.part("Journal"):
        evidence = Evidence.of(events)
        measured = rehearsal.measured if rehearsal.is_rehearsal(evidence) else _measured
        verdict = measured(evidence, findings)
    if verdict.simulated:
        findings.unknown.insert(0, "Simulated: no vendor, host or network was involved, so nothing real was measured.")
    return replace(verdict, verdict=_outcome(verdict.simulated, findings), why=(*findings.missed, *findings.unknown))


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """As `verdict.json` has it: the design's keys, plus `simulated`, `why` and `protection`; what is unknown is null."""
    found: dict[str, Any] = _rounded(asdict(verdict))
    found["blackhole"]["vendors"] = list(verdict.blackhole.vendors)
    found["why"] = list(verdict.why)
    found["protection"] = {key: list(v) if isinstance(v, tuple) else v for key, v in found["protection"].items()}
    return found


def _rounded(value: Any) -> Any:
    """Seconds to the microsecond: more than that is noise of the arithmetic."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _outcome(simulated: bool, findings: Findings) -> Outcome:  # noqa: FBT001
    """One word; the rules are the module's docstring."""
    if simulated:
        return "unknown"
    if findings.missed:
        return "missed"
    return "unknown" if findings.unknown else "met"


def _measured(evidence: Evidence, findings: Findings) -> Verdict:
    """Every part, each judged on its own; the word is not yet decided."""
    fault, seed, simulated = _frame(evidence, findings)
    frame, rpo_s = clocks.promise(evidence, findings)
    back: Recovery | None = None
    rto = frame
    with findings.part("RTO"):
        back = recovery(evidence)
        rto = clocks.rto(frame, evidence, back, findings)
    counts.damage(evidence, findings)
    naming.unmoved(evidence, findings)
    return Verdict(
        verdict="unknown",
        fault=fault,
        seed=seed,
        simulated=simulated,
        rto=rto,
        reprotected_s=clocks.reprotected(evidence, findings),
        rpo=writes.rpo(rpo_s, evidence, back, findings),
        newcomers=writes.newcomers(evidence, findings),
        media=counts.media(evidence, findings),
        takedowns=counts.takedowns(evidence, findings),
        blackhole=counts.blackhole(evidence, back, findings),
        fence=counts.fence(evidence, findings),
        data=counts.data_sizes(evidence, findings),
        protection=protection(evidence, findings),
        accepted_end=counts.accepted_end(evidence, findings),
    )


def _frame(evidence: Evidence, findings: Findings) -> tuple[str | None, int | None, bool]:
    """Which fault, which seed, and whether anything of it was real."""
    fault: str | None = None
    seed: int | None = None
    simulated = any(e.data.get("simulated") is True for e in evidence.kind("drill-started"))
    with findings.part("Drill"):
        if evidence.fault is None or not isinstance(evidence.fault.data.get("fault"), str):
            raise Impossible("the journal has no fault with a name")
        fault = evidence.fault.data["fault"]
        started = evidence.kind("drill-started")
        if not started or not isinstance(started[0].data.get("simulated"), bool):
            raise Impossible("the journal does not say whether the drill was simulated")
        found = started[0].data.get("seed")
        if isinstance(found, bool) or not isinstance(found, int):
            raise Impossible(f"the seed is {found!r}, not a whole number")
        seed = found
    return fault, seed, simulated
