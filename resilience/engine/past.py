"""Journals and the history of drills -> Past: what earlier runs tell a new plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from resilience.model import Event, Past, PastRun, Plan

Entry = Mapping[str, Any]


def past_of(events: Sequence[Event], history: Iterable[Entry] = ()) -> Past:
    """Plans of this journal that ran to their end, and drills of the history that proved something."""
    runs = (*_drilled(history), *_finished(events))
    return Past(runs, frozenset(_verified(events)), _followed(events), _sealed(events), lapses(events))


def _finished(events: Sequence[Event]) -> Iterator[PastRun]:
    plan: Plan | None = None
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    until = 0.0
    for event in events:
        if event.kind == "plan":
            plan, began, took, until = Plan.from_json(event.data["plan"]), {}, {}, 0.0
        elif event.kind == "step-started":
            began[str(event.data["id"])] = event.at
        elif event.kind == "step-done" and str(event.data["id"]) in began:
            phase = str(event.data["phase"])
            since = max(began.pop(str(event.data["id"])), until)  # what ran side by side counts once
            took[phase], until = took.get(phase, 0.0) + event.at - since, event.at
        elif event.kind == "finished" and plan is not None and event.data["digest"] == plan.digest:
            yield PastRun(plan.kind, plan.target, took)


def _drilled(history: Iterable[Entry]) -> Iterator[PastRun]:
    """Drills that were judged met or missed: an unknown one is no experience."""
    for entry in history:
        target = entry.get("target")
        if not target or entry.get("simulated") or entry.get("verdict") not in {"met", "missed"}:
            continue
        rto, rpo = entry.get("rto") or {}, entry.get("rpo") or {}
        took = {key.removesuffix("_s"): value for key, value in rto.items() if key in PARTS and value is not None}
        yield PastRun("failover", str(target), took, rpo.get("measured_s"), rpo.get("lost"), entry.get("missing"))


def _sealed(events: Iterable[Event]) -> int:
    """The last one's: numbers rise, but where vaults were emptied since, or it was accepted that they missed one."""
    done = [event.data for event in events if event.kind == "step-done" and event.data.get("action") == "seal"]
    return int(done[-1]["facts"]["epoch"]) if done else 0


def sealed_into(events: Iterable[Event]) -> frozenset[str]:
    """Vaults that took an epoch which was sealed from here."""
    done = (event.data for event in events if event.kind == "step-done" and event.data.get("action") == "seal")
    return frozenset(str(vault) for data in done for vault in data["facts"].get("vaults", ()))


def _followed(events: Iterable[Event]) -> frozenset[str]:
    """Sites whose data came by following, and which no later step gave a database of their own."""
    last = {
        str(event.data["subject"]): event.data["action"]
        for event in events
        if event.kind == "step-done" and event.data.get("action") in {"follow", "restore", "create"}
    }
    return frozenset(site for site, action in last.items() if action == "follow")


def lapses(events: Iterable[Event]) -> dict[str, float]:
    """Site → the longest that it may still write after a seal, by what it was told.

    A site goes by what it was told last once its ship was started with it, and until then perhaps by what was before. A ship
    that was begun ahead is not started again. Once a site stood down, or a lease was waited for, nothing of the old ones counts.
    """
    told: dict[str, list[float]] = {}
    begun: set[str] = set()
    for event in events:
        action, site = event.data.get("action"), str(event.data.get("subject", event.data.get("site", "")))
        if event.kind == "told":
            told.setdefault(site, []).append(float(event.data["lapse_s"]))
        elif event.kind == "stood-down":
            told.pop(site, None)
        elif event.kind == "step-done" and action == "begin":
            begun.add(site)
        elif event.kind == "step-done" and action == "lease":
            told = {kept: seconds for kept, seconds in told.items() if kept == site}
        elif event.kind == "step-done" and action == "ship" and site in told:
            told[site] = told[site] if site in begun else told[site][-1:]
            begun.discard(site)
    return {site: max(seconds) for site, seconds in told.items()}


PARTS = {"decide_s", "provision_s", "data_s", "start_s"}
"""The name's part of an RTO is mostly the wait for a TTL, which a forecast adds by itself."""


def _verified(events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    """Snapshots that another principal read back."""
    for event in events:
        facts = event.data.get("facts")
        if event.kind == "step-done" and event.data.get("action") == "protect" and isinstance(facts, Mapping):
            for vault in facts.get("verified", ()):
                yield str(vault), str(facts["snapshots"][vault])
