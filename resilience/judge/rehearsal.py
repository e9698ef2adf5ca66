"""A rehearsal's verdict: back for a user by address, within the promise with the name's TTL on top, and nothing else changed.

What a rehearsal cannot know is left open in the verdict and is not held against it: no user was cut off, so no write
was lost; no name was moved; nobody was fenced. A drill in a lab is what proves those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from resilience.judge import clocks, counts
from resilience.judge.clocks import Recovery
from resilience.judge.evidence import Evidence, Findings, Impossible, listed, mapping, seconds, when
from resilience.model import Media, Rpo, Takedowns, Verdict


def is_rehearsal(evidence: Evidence) -> bool:
    """Whether this journal is a rehearsal's."""
    return any(event.data.get("fault") == "rehearsal" for event in evidence.kind("drill-started"))


def measured(evidence: Evidence, findings: Findings) -> Verdict:
    """Every part, each judged on its own; the word is not yet decided."""
    rto, rpo_s = clocks.promise(evidence, findings)
    with findings.part("RTO"):
        back = _served(evidence)
        rto = replace(rto, measured_s=back.at - evidence.fault_at)
        rto = replace(rto, **{f"{phase.value}_s": took for phase, took in clocks.split(evidence, back).items()})
        _judge_time(back.at - evidence.fault_at, rto.ttl_s, rto.promise_s, findings)
    _untouched(evidence, findings)
    _gone(evidence, findings)
    return Verdict(
        verdict="unknown",
        fault="rehearsal",
        rto=rto,
        rpo=Rpo(rpo_s),
        media=_media(evidence, findings),
        takedowns=_takedowns(evidence, findings),
        data=counts.data_sizes(evidence, findings),
    )


def _served(evidence: Evidence) -> Recovery:
    """When a user got through by address: the plan's last step."""
    for line, event in enumerate(evidence.after):
        if event.kind == "step-done" and event.data.get("action") == "verify":
            return Recovery(when(event), line, "")
    stopped = evidence.later("step-failed")
    where = f": it stopped at {stopped[-1].data.get('id')}: {stopped[-1].data.get('what')}" if stopped else ""
    raise Impossible(f"no user got through at the rehearsal's site{where}")


def _judge_time(took: float, ttl_s: float | None, promise_s: float | None, findings: Findings) -> None:
    if promise_s is None or ttl_s is None:
        return
    if took + ttl_s > promise_s:
        findings.missed.append(
            f"RTO: a user got through by address after {seconds(took)}; with a TTL of {seconds(ttl_s)} on top that is "
            f"more than the promised {seconds(promise_s)}."
        )


def _untouched(evidence: Evidence, findings: Findings) -> None:
    """The fleet's epochs, zones, sites and ship: the same before and after, and known both times."""
    with findings.part("Production"):
        seen = {e.data.get("when"): e.data for e in evidence.kind("production")}
        if set(seen) != {"before", "after"}:
            raise Impossible("it was not looked at both before and after")
        for key in ("epochs", "zones", "sites"):
            before, after = mapping(seen["before"].get(key), key), mapping(seen["after"].get(key), key)
            for path, old, new in _differences(before, after, key):
                findings.missed.append(f"Production: {path} was {old!r} and is {new!r}.")
        doubts = sorted({path for data in seen.values() for path in _must_know(data)})
        findings.unknown.extend(
            f"Production: {doubt} could not be read, so nothing shows that it stayed." for doubt in doubts
        )


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        if "unknown" in before or "unknown" in after:
            return
        for key in sorted({*before, *after}):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        yield path, before, after


def _must_know(data: Any) -> Iterator[str]:
    """Vaults, zones and the site that writes: whatever of them did not answer."""
    for key in ("epochs", "zones"):
        for name, value in mapping(data.get(key), key).items():
            parts = value if isinstance(value, list) else [value]
            if any(isinstance(part, dict) and "unknown" in part for part in parts):
                yield f"{key}.{name}"
    writing = [n for n, s in mapping(data.get("sites"), "sites").items() if isinstance(s["ship"].get("nonce"), str)]
    if not writing:
        yield "the site that writes"


def _gone(evidence: Evidence, findings: Findings) -> None:
    with findings.part("Teardown"):
        left = listed(evidence.last("torn-down").data.get("left"), "what was left")
        findings.missed.extend(f"Left behind: {what}." for what in left)


def _media(evidence: Evidence, findings: Findings) -> Media:
    """As a drill's, but an app without pictures is no doubt."""
    own = Findings()
    found = counts.media(evidence, own)
    _take(own, findings, found.objects)
    return found


def _takedowns(evidence: Evidence, findings: Findings) -> Takedowns:
    """As a drill's, but an app in which nothing was ever taken down is no doubt."""
    own = Findings()
    found = counts.takedowns_there(evidence, own)
    _take(own, findings, found.issued)
    return found


def _take(own: Findings, findings: Findings, looked_at: int | None) -> None:
    """One part's findings; where there was nothing to look at, only what was proven."""
    findings.missed += own.missed
    findings.unknown += [] if looked_at == 0 else own.unknown
