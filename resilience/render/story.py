"""A journal as a report tells it: seconds after the fault, one small list a section. Pure.

A journal may be strange or cut off; what cannot be told is left out here, and the verdict says why.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resilience.judge import Evidence, Recovery, Write, lost, planned, recovery
from resilience.model import Event, Phase

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ran:
    """One step as it ran; seconds count from the fault."""

    id: str
    action: str
    subject: str
    phase: str
    vendor: str
    reason: str
    start: float
    end: float | None
    facts: str
    error: str = ""

    @property
    def took(self) -> float | None:
        """Seconds it ran; None where it never ended."""
        return None if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment worth a line through a chart."""

    at: float
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the users' requests."""

    at: int
    ok: int
    failed: int


@dataclass(frozen=True, slots=True)
class Call:
    """How often somebody called a vendor that was lost, or what he sent there on a connection from before."""

    origin: str
    vendor: str
    address: str
    times: str


@dataclass(frozen=True, slots=True)
class Story:
    """All that the report tells beside the verdict."""

    began: float | None
    fault_at: float | None
    started: Mapping[str, Any]
    fault: str
    lost_vendors: tuple[str, ...]
    plan: Mapping[str, Any]
    accepted: tuple[str, ...]
    by: str
    steps: tuple[Ran, ...]
    marks: tuple[Mark, ...]
    traffic: tuple[Second, ...]
    gap: tuple[float, float] | None
    writes: tuple[Write, ...]
    calls: tuple[Call, ...]
    stages: tuple[tuple[str, float], ...]
    used: tuple[Call, ...]
    """On connections that were open when the vendors were lost: none of it arrived."""
    knocks: tuple[Call, ...] = ()
    """What the primary's own ship and standbys sent before they were told of the loss."""
    protected: Mapping[str, Any] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """Which version of what was rehearsed."""
        found = self.started.get("versions")
        return tuple((str(k), str(v)) for k, v in found.items()) if isinstance(found, Mapping) else ()

    @property
    def quorum(self) -> str:
        """How many vaults confirm and seal; empty where the journal does not say."""
        found = self.started.get("replication")
        rule = found if isinstance(found, Mapping) else self.started
        if "k" not in rule or "s" not in rule:
            return ""
        return f"a write is confirmed by {rule['k']} vaults, an epoch is sealed in {rule['s']}"

    def of_plan(self, part: str, *keys: str) -> tuple[Mapping[str, str], ...]:
        """The plan's steps or hazards, in words; what is no mapping is left out."""
        found = self.plan.get(part)
        entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list | tuple) else []
        return tuple({key: str(entry.get(key, "")) for key in keys} for entry in entries)

    @property
    def source(self) -> str:
        """The site that was lost."""
        return str(self.plan.get("source") or self.started.get("source") or "the old site")

    @property
    def target(self) -> str:
        """The site that took over."""
        return str(self.plan.get("target") or self.started.get("target") or "another site")


def story(events: Sequence[Event]) -> Story:
    """Everything the report shows, from the journal alone."""
    evidence = Evidence.of(events)
    fault = _told(lambda: evidence.fault_at, None)
    zero = fault if fault is not None else (events[0].at if events else 0.0)
    started = next((e.data for e in events if e.kind == "drill-started"), {})
    decided = (evidence.later("decided") or evidence.kind("decided"))[-1:]
    nothing: tuple[Second, ...] = ()
    return Story(
        began=events[0].at if events else None,
        fault_at=fault,
        started=started,
        fault=str(evidence.fault.data.get("fault", "")) if evidence.fault else "",
        lost_vendors=_told(lambda: tuple(map(str, evidence.fault.data["vendors"])) if evidence.fault else (), ()),
        plan=_told(lambda: planned(evidence), {}),
        accepted=_told(lambda: tuple(map(str, decided[0].data.get("accepted", ()))), ()),
        by=str(decided[0].data.get("by", "")) if decided else "",
        steps=_told(lambda: _steps(evidence, zero, started), ()),
        marks=_told(lambda: _marks(evidence, zero), ()),
        traffic=_told(lambda: _traffic(evidence, zero), nothing),
        gap=_told(lambda: _gap(evidence, zero), None),
        writes=_told(lambda: tuple(lost(evidence)), ()),
        calls=_told(lambda: _calls(evidence, "blackhole"), ()),
        knocks=_told(lambda: _calls(evidence, "ship-knocks"), ()),
        used=_told(lambda: _calls(evidence, "blackhole", "used"), ()),
        stages=_told(lambda: _stages(events), ()),
        protected=next((e.data for e in evidence.later("protected-again")), {}),
        left=_told(lambda: tuple(str(x) for e in evidence.kind("torn-down") for x in e.data.get("left", ())), ()),
    )


def _told(tell: Callable[[], T], otherwise: T) -> T:
    """One part of the story, or nothing where the journal is too strange to tell it."""
    try:
        return tell()
    except Exception:  # noqa: BLE001 - the verdict says what could not be understood; the page still comes out
        return otherwise


def back(evidence: Evidence) -> Recovery | None:
    """When the users were back, None where that is not known."""
    return _told(lambda: recovery(evidence), None)


def _steps(evidence: Evidence, zero: float, started: Mapping[str, Any]) -> tuple[Ran, ...]:
    """Steps after the fault, in the order they started; one that was run again is there twice."""
    homes = _homes(started)
    open_steps: dict[str, Event] = {}
    found: list[Ran] = []
    for event in evidence.after:
        step = str(event.data.get("id"))
        if event.kind == "step-started":
            open_steps[step] = event
        elif event.kind in {"step-done", "step-failed"}:
            found.append(_ran(open_steps.pop(step, event), event, zero, homes))
    found += [_ran(event, None, zero, homes) for event in open_steps.values()]
    return tuple(sorted(found, key=lambda ran: ran.start))


def _ran(asked: Event, ended: Event | None, zero: float, homes: Mapping[str, str]) -> Ran:
    facts = ended.data.get("facts", {}) if ended else {}
    facts = facts if isinstance(facts, Mapping) else {}
    subject = str(asked.data.get("subject", ""))
    failed = ended is not None and ended.kind == "step-failed"
    return Ran(
        id=str(asked.data.get("id", "")),
        action=str(asked.data.get("action", "")),
        subject=subject,
        phase=str(asked.data.get("phase", "")),
        vendor=str(facts.get("vendor") or homes.get(subject, subject)),
        reason=str(asked.data.get("reason", "")),
        start=asked.when - zero,
        end=None if ended is None else ended.when - zero,
        facts=_facts(facts),
        error=f"{ended.data.get('what', '')} {ended.data.get('why', '')}".strip() if ended and failed else "",
    )


def _homes(started: Mapping[str, Any]) -> Mapping[str, str]:
    """Site or vault → vendor, as far as the journal says so."""
    found: dict[str, str] = {}
    for key in ("vaults", "sites"):
        homes = started.get(key)
        if isinstance(homes, Mapping):
            found |= {str(name): str(vendor) for name, vendor in homes.items()}
    return found


def _facts(facts: Mapping[str, Any]) -> str:
    """What a step found, in a few words; long values are cut."""
    said = []
    for key, value in facts.items():
        if value in (None, "", [], {}):
            continue
        if isinstance(value, list | tuple):
            text = ", ".join(map(str, value)) if all(isinstance(v, str) for v in value) else f"{len(value)}"
        else:
            text = str(value)
        said.append(f"{key} {text[:60]}{'…' if len(text) > 60 else ''}")  # noqa: PLR2004
    return "; ".join(said[:6])


def _marks(evidence: Evidence, zero: float) -> tuple[Mark, ...]:
    """Fault, decision, the name moved, users back."""
    found = [Mark(0.0, "fault", "fault")] if evidence.fault else []
    decided = evidence.later("decided")
    if decided:
        found.append(Mark(decided[0].when - zero, "decided", "decided"))
    pointed = [e for e in evidence.later("step-done") if e.data.get("action") == "point"]
    if pointed:
        found.append(Mark(pointed[0].when - zero, "name moved", "name"))
    there = back(evidence)
    if there is not None:
        found.append(Mark(there.at - zero, "users back", "back"))
    return tuple(found)


def _requests(evidence: Evidence) -> list[tuple[float, bool]]:
    """When each request was made and whether it was answered well."""
    return [
        (float(request[0]), request[2] is True)
        for event in evidence.kind("requests")
        for request in event.data["requests"]
        if math.isfinite(float(request[0]))
    ]


def _traffic(evidence: Evidence, zero: float) -> tuple[Second, ...]:
    """Requests a second, the empty seconds too, from the first to the last or until the users were back."""
    good: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    for at, ok in _requests(evidence):
        (good if ok else bad)[math.floor(at - zero)] += 1
    seconds = good.keys() | bad.keys()
    if not seconds or max(seconds) - min(seconds) > 86_400:  # noqa: PLR2004 - a day: some clock is wrong
        return ()
    there = back(evidence)
    last = max(seconds) if there is None else max(*seconds, math.ceil(there.at - zero))
    return tuple(Second(at, good[at], bad[at]) for at in range(min(seconds), last + 1))


def _gap(evidence: Evidence, zero: float) -> tuple[float, float] | None:
    """The longest silence that ended after the fault: from an answered request to the next one, or to the end."""
    made = [(at - zero, ok) for at, ok in _requests(evidence)]
    answered = sorted(at for at, ok in made if ok)
    if evidence.fault is None or not answered:
        return None
    ends = [*answered, max(at for at, _ in made)]
    return max(
        (pair for pair in itertools.pairwise(ends) if pair[1] > 0), key=lambda pair: pair[1] - pair[0], default=None
    )


def _calls(evidence: Evidence, kind: str, what: str = "calls") -> tuple[Call, ...]:
    """Calls to lost vendors, as the counters saw them; older journals tell packets."""
    return tuple(
        Call(
            str(call.get("from", "")),
            str(call.get("vendor", "")),
            f"{call.get('address', '')}:{call.get('port', '')}".strip(":"),
            str(call.get("used" if what == "used" else "attempts", call.get("packets", 1))),
        )
        for event in evidence.later(kind)
        for call in event.data.get(what, ())
    )


def _stages(events: Sequence[Event]) -> tuple[tuple[str, float], ...]:
    """Parts of the drill that no user waits for, with their seconds."""
    return tuple(
        (str(e.data.get("stage")), float(e.data["seconds"]))
        for e in events
        if e.kind == "stage-done" and "seconds" in e.data
    )


def by_vendor(told: Story) -> tuple[tuple[str, tuple[Ran, ...]], ...]:
    """Which vendor was asked for what after the fault, in the order they were first called."""
    found: dict[str, list[Ran]] = {}
    for ran in told.steps:
        found.setdefault(ran.vendor, []).append(ran)
    return tuple((vendor, tuple(steps)) for vendor, steps in found.items())


def of_phase(told: Story, phase: Phase) -> tuple[Ran, ...]:
    """Steps of one phase."""
    return tuple(ran for ran in told.steps if ran.phase == phase)
