"""The two clocks: back for the users, and protected again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from resilience.judge.evidence import Evidence, Findings, Impossible, mapping, names, number, seconds, when
from resilience.model import Event, Phase, Rto

PARTS = (Phase.DECIDE, Phase.PROVISION, Phase.DATA, Phase.START, Phase.NAME)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The first user's journey by name after the fault: at a new site, or at the old one where its vendor stays."""

    at: float
    line: int
    """Where in `Evidence.after` it stands."""
    address: str


def promise(evidence: Evidence, findings: Findings) -> tuple[Rto, float | None]:
    """What was promised, as `drill-started` has it: the RTO's frame, and the RPO in seconds."""
    rto, rpo_s = Rto(), None
    with findings.part("Promise"):
        started = evidence.kind("drill-started")
        if len(started) != 1:
            raise Impossible(f"the journal holds {len(started)} drills, not one")
        data = started[0].data
        promised = mapping(data.get("promise"), "the promise")
        rto = replace(rto, ttl_s=number(data.get("ttl_s"), "the TTL"))
        rto = replace(rto, human_decide_s=number(promised.get("human_decide_s"), "the time for a person to decide"))
        rto = replace(rto, promise_s=number(promised.get("rto_s"), "the promised RTO"))
        rpo_s = number(promised.get("rpo_s"), "the promised RPO")
    return rto, rpo_s


def _by_name(event: Event) -> bool:
    return event.data.get("by") == "name"


def recovery(evidence: Evidence) -> Recovery | None:
    """When the users were back, None where they never were; Impossible where nothing shows the old site."""
    old = _old_addresses(evidence)
    if not old:
        raise Impossible(
            "no line before the fault says at which address the old site was, so no success can be told from it"
        )
    stays = evidence.fault is not None and evidence.fault.data.get("stays") is True
    for line, event in enumerate(evidence.after):
        if event.kind != "journey" or not _by_name(event) or event.data.get("ok") is not True:
            continue
        address = event.data.get("address")
        if isinstance(address, str) and address and (address in old) is stays:
            return Recovery(when(event), line, address)
    return None


def _old_addresses(evidence: Evidence) -> set[object]:
    """Where the name led before the fault: by a journey that succeeded, or by a step that pointed it there."""
    found: set[object] = set()
    for event in evidence.before:
        if event.kind == "journey" and _by_name(event) and event.data.get("ok") is True:
            found.add(event.data.get("address"))
        if event.kind == "step-done" and event.data.get("phase") == Phase.NAME:
            found.add(mapping(event.data.get("facts", {}), "a step's facts").get("address"))
    return found - {None, ""}


def rto(frame: Rto, evidence: Evidence, back: Recovery | None, findings: Findings) -> Rto:
    """From the fault to the recovery, with its parts, against the promise."""
    if back is None:
        _never_back(frame, evidence, findings)
        return frame
    measured = back.at - evidence.fault_at
    if measured <= 0:
        raise Impossible(f"users were back {-measured:.3f} s before the fault, or at its very moment")
    frame = replace(frame, measured_s=measured)
    if frame.promise_s is not None and measured > frame.promise_s:
        findings.missed.append(
            f"RTO: users were back {seconds(measured)} after the fault, promised was {seconds(frame.promise_s)}."
        )
    with findings.part("Parts of the RTO"):
        parts = {f"{phase.value}_s": took for phase, took in split(evidence, back).items()}
        return replace(frame, **parts)
    return frame


def _tried(event: Event) -> bool:
    """Whether somebody tried to get in by name: a journey, or the plan's step that waits for one."""
    return (event.kind == "journey" and _by_name(event)) or (
        event.kind == "step-failed" and event.data.get("phase") == Phase.NAME
    )


def _never_back(frame: Rto, evidence: Evidence, findings: Findings) -> None:
    """Nobody got back: a proven miss where a journey still failed after the promised time, or no name was left to move."""
    if stays := evidence.later("name-stays"):
        at, data = when(stays[-1]) - evidence.fault_at, stays[-1].data
        findings.missed.append(
            f"RTO: {data.get('site')} served at {data.get('address')} {seconds(at)} after the fault, and no DNS vendor is "
            f"left to lead users there. {data.get('change')}"
        )
        return
    tried = [when(e) - evidence.fault_at for e in evidence.after if _tried(e)]
    if frame.promise_s is not None and tried and max(tried) > frame.promise_s:
        findings.missed.append(
            f"RTO: no user's journey by name had succeeded {seconds(max(tried))} after the fault, "
            f"promised was {seconds(frame.promise_s)}."
        )
        return
    stopped = evidence.later("step-failed")
    where = ""
    if stopped:
        data = stopped[-1].data
        where = f"; the failover stopped at {data.get('id')}: {data.get('what')}"
    raise Impossible(f"no user's journey by name succeeded at another site after the fault{where}")


def split(evidence: Evidence, back: Recovery) -> dict[Phase, float]:
    """The five parts of the RTO, in order; they sum to it.

    A part ends when the last of its steps that was done before the users were back is done (`decide` also
    waits for the plan's approval), but never before the part in front of it ended: where steps of two parts
    ran side by side, the shared time belongs to the earlier part, once. `name` takes what is left, so it
    holds the resolver's cached TTL. A part without a step takes 0 seconds.
    """
    start = evidence.fault_at
    ends = _ends(evidence, start, back.at)
    parts: dict[Phase, float] = {}
    edge = start
    for phase in PARTS:
        end = back.at if phase is Phase.NAME else max(edge, ends.get(phase, edge))
        parts[phase] = end - edge
        edge = end
    return parts


def _ends(evidence: Evidence, start: float, back: float) -> Mapping[Phase, float]:
    """When the last step of each phase was done, of those between the fault and the recovery."""
    decided = [when(e) for e in evidence.later("decided")]
    decided = [at for at in decided if start <= at <= back]
    if not decided:
        raise Impossible("no plan was approved between the fault and the recovery, so its parts are not known")
    ends: dict[Phase, float] = {Phase.DECIDE: max(decided)}
    done = [e for e in evidence.later("step-done") if start <= when(e) <= back]
    if not done:
        raise Impossible("no step was done between the fault and the recovery, so its parts are not known")
    for event in done:
        phase = Phase(event.data["phase"])
        ends[phase] = max(ends.get(phase, start), when(event))
    return ends


def reprotected(evidence: Evidence, findings: Findings) -> float | None:
    """The second clock: from the fault until a verified copy is at a vendor that is neither lost nor the new site's."""
    with findings.part("Second clock"):
        event = evidence.last("protected-again")
        vaults = names(event.data.get("vaults"), "the vaults that protect again")
        if not event.data.get("snapshot"):
            raise Impossible("no verified snapshot is named, so nothing shows that the app is protected again")
        useless = _useless_vendors(evidence)
        homes = _vault_vendors(evidence)
        if not [v for v in vaults if homes.get(v, v) not in useless]:
            raise Impossible("no copy is at a vendor other than the lost ones and the new site's")
        took = when(event) - evidence.fault_at
        if took <= 0:
            raise Impossible("the app was protected again before the fault")
        return took
    return None


def _vault_vendors(evidence: Evidence) -> Mapping[str, object]:
    """Vault → vendor, as far as the journal says so; a vault is else taken to be called like its vendor."""
    found = evidence.kind("drill-started")[0].data.get("vaults")
    return found if isinstance(found, Mapping) else {}


def _useless_vendors(evidence: Evidence) -> set[object]:
    """Vendors a copy at which does not protect: the lost ones, and the new site's own."""
    data = evidence.kind("drill-started")[0].data
    lost = names(evidence.fault.data.get("vendors"), "the vendors that are lost") if evidence.fault else ()
    target = planned(evidence).get("target") or data.get("target")
    sites = data.get("sites")
    return {*lost, sites.get(target, target) if isinstance(sites, Mapping) else target}


def planned(evidence: Evidence) -> Mapping[str, object]:
    """The failover's plan as JSON: the last one after the fault, else the last one before it; empty without any."""
    plans = evidence.later("plan") or evidence.kind("plan")
    if not plans:
        return {}
    return mapping(plans[-1].data.get("plan", plans[-1].data), "the plan")
