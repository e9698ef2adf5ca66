"""RPO: every acknowledged write was looked for; what is missing is lost."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.judge.clocks import Recovery
from resilience.judge.evidence import Evidence, Findings, count, listed, mapping, names, number, plural, seconds
from resilience.model import Newcomers, Rpo

ENOUGH_WRITES = 100
WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Write:
    """One write that the app acknowledged."""

    id: str
    at: float
    media: str | None = None
    newcomer: bool = False
    """Whether it is a person's account, who was told that they are in."""


def acknowledged(evidence: Evidence) -> dict[str, Write]:
    """Every acknowledged write by its id; one acknowledged twice counts from the first time."""
    found: dict[str, Write] = {}
    for event in evidence.kind("acknowledged"):
        for entry in listed(event.data.get("writes"), "the acknowledged writes"):
            data = mapping(entry, "an acknowledged write")
            media = data.get("media")
            at, newcomer = number(data["at"], "the time of a write"), data.get("newcomer") is True
            write = Write(str(data["id"]), at, str(media) if media else None, newcomer)
            earlier = found.get(write.id)
            if earlier is None or write.at < earlier.at:
                found[write.id] = write
    return found


def lost(evidence: Evidence) -> list[Write]:
    """Acknowledged writes that were not found afterwards, oldest first."""
    missing = set(names(evidence.last("writes-checked").data.get("missing"), "the missing writes"))
    return sorted((w for w in acknowledged(evidence).values() if w.id in missing), key=lambda w: (w.at, w.id))


def rpo(promise_s: float | None, evidence: Evidence, back: Recovery | None, findings: Findings) -> Rpo:
    """How much was lost: in writes, and in seconds back from the fault.

    A loss that breaks the promise is proven by the writes that are missing, whatever else is not known.
    In quorum that is any: what was acknowledged was held by enough vaults by then. In async seconds are promised.
    That nothing more was lost takes all proofs: enough writes, and each one looked for.
    """
    result = Rpo(promise_s)
    with findings.part("RPO"):
        writes = acknowledged(evidence)
        due = _due(evidence, writes, back)
        result = Rpo(promise_s, acknowledged=due)
        gone = lost(evidence)
        result = Rpo(promise_s, acknowledged=due, lost=len(gone))
        fault = evidence.fault_at
        reach = max(0.0, fault - gone[0].at) if gone else 0.0
        broken = _broken(gone, fault, promise_s, _durability(evidence), findings)
        doubts = _doubts(evidence, writes, due)
        findings.unknown.extend(f"RPO: {doubt}." for doubt in doubts)
        if broken or not doubts:
            result = Rpo(promise_s, reach, due, len(gone))
    return result


def newcomers(evidence: Evidence, findings: Findings) -> Newcomers:
    """People who were let in: one who is missing breaks the promise, since nobody is told before enough vaults know."""
    with findings.part("Newcomers"):
        told = sum(1 for write in acknowledged(evidence).values() if write.newcomer)
        gone = sum(1 for write in lost(evidence) if write.newcomer)
        if gone:
            findings.missed.append(f"Newcomers: of {told:,} who were told that they are in, {gone:,} are missing.")
        return Newcomers(told, gone)
    return Newcomers()


def _due(evidence: Evidence, writes: dict[str, Write], back: Recovery | None) -> int:
    """How many writes have to be looked for: those acknowledged until the users were back."""
    until = evidence.fault_at if back is None else max(evidence.fault_at, back.at)
    return sum(1 for w in writes.values() if w.at <= until)


def _durability(evidence: Evidence) -> str | None:
    """How commits were made: `async` or `quorum`; None where the journal does not say."""
    return next((e.data["durability"] for e in evidence.kind("drill-started") if "durability" in e.data), None)


def _broken(
    gone: list[Write], fault: float, promise_s: float | None, durability: str | None, findings: Findings
) -> bool:
    """Whether a lost write may not be: in quorum none, else one that is too old, or so new that the old site lived on."""
    if not gone:
        return False
    if durability == "quorum":
        findings.missed.append(
            f"RPO: {plural(len(gone), 'acknowledged write')} lost. In quorum none may be: a commit waits until enough vaults hold it."
        )
        return True
    if promise_s is None:
        return False
    if fault - gone[0].at > promise_s:
        findings.missed.append(
            f"RPO: {plural(len(gone), 'acknowledged write')} lost, the oldest {seconds(fault - gone[0].at)} "
            f"before the fault, promised was {seconds(promise_s)}."
        )
        return True
    if gone[-1].at - fault > promise_s:
        findings.missed.append(
            f"RPO: a write acknowledged {seconds(gone[-1].at - fault)} after the fault is lost: the old site lived on."
        )
        return True
    return False


def _doubts(evidence: Evidence, writes: dict[str, Write], due: int) -> list[str]:
    """What is missing from the proof that nothing else was lost."""
    checked = evidence.last("writes-checked").data
    unchecked = names(checked.get("unchecked"), "the writes that could not be looked for")
    looked_for = count(checked.get("checked"), "the number of writes that were looked for")
    fault = evidence.fault_at
    recent = sum(1 for w in writes.values() if fault - WINDOW_S <= w.at <= fault)
    strangers = set(checked.get("missing", ())) - set(writes)
    doubts = []
    if _durability(evidence) not in ("async", "quorum"):
        doubts.append("the journal does not say whether commits waited for vaults, so what may be lost is not known")
    if recent < ENOUGH_WRITES:
        doubts.append(
            f"only {recent} writes were acknowledged in the {WINDOW_S:.0f} s before the fault, of {ENOUGH_WRITES} needed"
        )
    if unchecked:
        doubts.append(f"{plural(len(unchecked), 'acknowledged write')} could not be looked for")
    if looked_for + len(unchecked) < due:
        doubts.append(f"{looked_for} of {due} acknowledged writes were looked for")
    if strangers:
        doubts.append(f"{plural(len(strangers), 'write')} said to be missing had never been acknowledged")
    return doubts
