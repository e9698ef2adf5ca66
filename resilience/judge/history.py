"""History: one line a drill, and whether the last that passed is recent enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience.judge import verdict_json
from resilience.model import Event, Verdict

DAY_S = 86_400.0
Entry = Mapping[str, Any]


def entry(events: Sequence[Event], verdict: Verdict, *, report: str, kind: str = "drill") -> dict[str, Any]:
    """What is kept of one drill or rehearsal: what it was, how it went, where its report is."""
    started = next((e for e in events if e.kind == "drill-started"), None)
    fault = next((e for e in events if e.kind == "fault"), None)
    what = started.data if started else {}
    judged = verdict_json(verdict)
    return {
        "at": started.when if started else 0.0,
        "kind": kind,
        "target": what.get("target") or _planned(events),
        "vendors": list(fault.data.get("vendors", ())) if fault else list(what.get("lost", ())),
        **{
            key: what.get(key)
            for key in ("fault", "size", "standby", "durability", "seed", "simulated", "round", "code")
        },
        **{key: judged[key] for key in ("verdict", "rto", "rpo", "reprotected_s", "why")},
        "report": report,
    }


def _planned(events: Sequence[Event]) -> str | None:
    return next((e.data["plan"].get("target") for e in events if e.kind == "plan" and "plan" in e.data), None)


def last_passing(entries: Sequence[Entry]) -> float | None:
    """When the newest drill that met its promise began; simulated ones never count."""
    return max((float(e["at"]) for e in entries if e["verdict"] == "met" and not e["simulated"]), default=None)


def too_old(entries: Sequence[Entry], now: float, allowed_days: float) -> str:
    """Why the fleet is not rehearsed as it should be, in one sentence; empty where it is."""
    last = last_passing(entries)
    if last is None:
        return (
            f"No drill or rehearsal has passed yet; one every {allowed_days:g} days is declared: `resilience rehearse`."
        )
    days = (now - last) / DAY_S
    if days <= allowed_days:
        return ""
    return f"The last drill that passed is {days:.1f} days old; one every {allowed_days:g} days is declared."
