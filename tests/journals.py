"""Journals as a drill leaves them, made from a seed: for tests of the judge and of the report."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

from resilience.model import Event

DAY = 1_795_442_531.0
OLD, NEW = "198.18.1.100", "198.18.2.100"
LATE = ["p-000011", "p-000012"]
"""Posts that were taken down after the snapshot."""

STEPS: tuple[tuple[str, str, str, float, float, str, dict[str, Any]], ...] = (
    # action, subject, phase, starts, takes (at the healthy pace), reason, facts
    ("seal", "birch", "decide", 1.1, 0.6, "From here on acorn can get no write confirmed.", {"epoch": 2}),
    ("provision", "birch", "provision", 1.7, 9.4, "Make the hosts of birch from its stack.", {"addresses": [NEW]}),
    ("shape", "birch", "provision", 11.1, 24.5, "Install from the supplies in the vaults, nothing else.", {}),
    ("ledger", "birch", "data", 31.0, 1.2, "Takedowns and erasures hold before anybody can read.", {"entries": 12}),
    ("restore", "birch", "data", 35.6, 6.8, "Newest good snapshot, and the WAL that any vault holds.", {"chunks": 212}),
    ("recover", "birch", "data", 42.4, 2.9, "Replay to the end of the chain; promote.", {"timeline": 2}),
    ("media", "birch", "data", 45.3, 3.1, "Bring the pictures that the host lacks.", {"fetched": 200}),
    ("ship", "birch", "start", 48.4, 1.1, "What is written here is copied from the start.", {}),
    ("start", "birch", "start", 49.5, 1.9, "Start the app.", {}),
    ("verify", "birch", "start", 51.4, 1.3, "Rows, pictures and takedowns agree.", {"rows": 5801}),
    ("point", "dover", "name", 52.7, 0.3, "Users find birch through dover.", {"host": "plaza.test", "address": NEW}),
    ("point", "birch", "name", 53.0, 0.3, "Users find birch through birch.", {"host": "plaza.test", "address": NEW}),
    ("confirm", "birch", "name", 53.3, 17.9, "A user's journey by plaza.test succeeds.", {"attempts": 41}),
    ("protect", "birch", "protect", 71.3, 26.9, "A verified copy again at another vendor: cedar, elm.", {}),
    ("state", "birch", "protect", 98.2, 0.6, "The stack's state goes into the vaults.", {"vendor": "cedar"}),
)


def journal(
    seed: int = 7, *, pace: float = 1.0, lost_s: float = 0.42, simulated: bool = False, rate: int = 20
) -> list[Event]:
    """A whole drill; `pace` stretches the failover, `lost_s` says how old the oldest lost write was."""
    rng = random.Random(seed)
    back = 71.1 * pace
    events = [_started(seed, simulated), *_set_up()]
    events.append(Event(DAY - 31.0, "journey", {"ok": True, "by": "name", "address": OLD, "steps": _walk(rng)}))
    writes = _writes(rng, back, rate)
    events += _workload(rng, writes, back, rate, before=True)
    events.append(Event(DAY, "fault", {"fault": "terminate", "vendors": ["acorn"], "why": "acorn ended the account"}))
    events.append(_plan())
    events.append(
        Event(DAY + 0.9 * pace, "decided", {"digest": "5b0d2a90c4f1", "by": "drill", "accepted": ["loses-writes"]})
    )
    events += _failover(rng, pace, back)
    events += _workload(rng, writes, back, rate, before=False)
    return [
        *events,
        *_checks(writes, lost_s, back + 28 * pace),
        Event(DAY + back + 60 * pace, "torn-down", {"left": []}),
    ]


def healthy() -> list[Event]:
    """All proofs, all within the promise."""
    return journal()


def missed() -> list[Event]:
    """Too slow, and too much lost."""
    return journal(11, pace=1.9, lost_s=3.7)


def unknown() -> list[Event]:
    """As healthy, but the black hole's count is not whole and some writes could not be looked for."""
    events = journal(13, rate=4)
    events = changed(events, "blackhole", complete=False)
    return changed(events, "writes-checked", unchecked=["w-000003", "w-000004"])


def simulated() -> list[Event]:
    """A simulated drill, in which all goes well."""
    return journal(17, simulated=True)


def changed(events: list[Event], kind: str, **data: Any) -> list[Event]:
    """The same journal with other facts in every line of one kind."""
    return [Event(e.at, e.kind, {**e.data, **data}) if e.kind == kind else e for e in events]


def without(events: list[Event], kind: str) -> list[Event]:
    """The same journal without the lines of one kind."""
    return [e for e in events if e.kind != kind]


def _started(seed: int, simulated: bool) -> Event:  # noqa: FBT001
    return Event(
        DAY - 190,
        "drill-started",
        {
            "seed": seed,
            "size": "small",
            "fault": "terminate",
            "standby": "cold",
            "durability": "async",
            "source": "acorn",
            "target": "birch",
            "simulated": simulated,
            "ttl_s": 30,
            "host": "plaza.test",
            "promise": {"rto_s": 90, "rpo_s": 2, "human_decide_s": 300},
            "vendors": ["acorn", "birch", "cedar", "dover", "elm"],
            "sites": {"acorn": "acorn", "birch": "birch", "cedar": "cedar"},
            "vaults": {"birch": "birch", "cedar": "cedar", "elm": "elm"},
            "zones": ["acorn", "dover", "birch"],
            "k": 2,
            "s": 2,
            "versions": {"resilience": "0.1.0", "postgres": "15.14", "restic": "0.18.1", "pulumi": "3.257.0"},
        },
    )


def _set_up() -> list[Event]:
    stages = (("lab", -190.0, 14.0), ("up acorn", -176.0, 61.0), ("fill", -115.0, 62.0), ("snapshot", -53.0, 9.0))
    events = []
    for stage, at, took in stages:
        events.append(Event(DAY + at, "stage-started", {"stage": stage}))
        events.append(Event(DAY + at + took, "stage-done", {"stage": stage, "seconds": took}))
    sizes = {"db_bytes": 48_300_032, "media_bytes": 61_220_114, "users": 200, "posts": 5000, "takedowns": 10}
    late = [Event(DAY - at, "taken-down", {"posts": [post]}) for at, post in ((43, LATE[0]), (1, LATE[1]))]
    return [*events, Event(DAY - 44, "data", sizes), *late]


def _plan() -> Event:
    steps = [
        {"id": f"{p}.{a}.{s}", "action": a, "subject": s, "phase": p, "reason": r, "args": {}}
        for a, s, p, _, _, r, _ in STEPS
    ]
    hazards = [{"name": "loses-writes", "why": "Commits do not wait in async: what no vault holds yet is lost."}]
    plan = {"kind": "failover", "fleet": "plaza", "source": "acorn", "target": "birch", "steps": steps}
    return Event(DAY + 0.8, "plan", {"plan": {**plan, "hazards": hazards, "digest": "5b0d2a90c4f1"}})


def _walk(rng: random.Random) -> list[list[Any]]:
    return [[what, round(rng.uniform(8, 90), 1)] for what in ("log in", "post", "read back", "see a picture")]


def _failover(rng: random.Random, pace: float, back: float) -> list[Event]:
    events = []
    for action, subject, phase, start, took, reason, facts in STEPS:
        about = {"id": f"{phase}.{action}.{subject}", "action": action, "phase": phase}
        asked = {**about, "subject": subject, "reason": reason}
        events.append(Event(DAY + start * pace, "step-started", asked))
        events.append(Event(DAY + (start + took) * pace, "step-done", {**about, "facts": facts}))
    at = 5.0
    while at < back - 1:
        why = "the old address does not answer"
        tried = {"ok": False, "by": "name", "address": OLD, "steps": [], "why": why}
        events.append(Event(DAY + at, "journey", tried))
        at += 5
    events.append(Event(DAY + back, "journey", {"ok": True, "by": "name", "address": NEW, "steps": _walk(rng)}))
    return sorted(events, key=lambda e: e.at)


def _writes(rng: random.Random, back: float, rate: int) -> list[dict[str, Any]]:
    times = [t / rate + rng.uniform(0, 0.5 / rate) for t in range(-40 * rate, 0)]
    times += [back + 0.3 + t / rate for t in range(25 * rate)]
    picture = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(5)]
    return [
        {"id": f"w-{i:06d}", "at": DAY + t, "media": picture[i % 5] if i % 40 == 7 else None}
        for i, t in enumerate(times)
    ]


def _workload(rng: random.Random, writes: list[dict[str, Any]], back: float, rate: int, *, before: bool) -> list[Event]:
    mine = [w for w in writes if (w["at"] < DAY) == before]
    good = [[w["at"], "post", True, round(rng.uniform(9, 60), 1), "200"] for w in mine]
    good += [[w["at"] + 0.01, "home", True, round(rng.uniform(6, 40), 1), "200"] for w in mine]
    bad: list[list[Any]] = []
    if not before:
        at = 0.2
        while at < back:
            bad.append([DAY + at, rng.choice(["post", "home", "picture"]), False, 1000.0, "no answer"])
            at += 4 / rate * rng.uniform(0.8, 1.6)
    end = max(w["at"] for w in mine) + 1
    requests = sorted(good + bad)
    return [Event(end, "acknowledged", {"writes": mine}), Event(end, "requests", {"requests": requests})]


def _checks(writes: list[dict[str, Any]], lost_s: float, end: float) -> list[Event]:
    missing = [w["id"] for w in writes if DAY - lost_s <= w["at"] < DAY]
    at = DAY + end - 2
    lines: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("writes-checked", {"checked": len(writes), "missing": missing, "unchecked": []}),
        ("media-checked", {"objects": 200, "missing": [], "corrupt": []}),
        ("takedowns-checked", {"issued": 12, "resurrected": []}),
        ("fence", {"attempts": 34, "accepted": 0}),
        ("protected-again", {"vaults": ["cedar", "elm"], "snapshot": "a1f0c3d2"}),
        ("blackhole", {"vendors": ["acorn"], "calls": [], "complete": True}),
        ("takedowns-seen", {"asked": LATE, "shown": [], "unchecked": []}),
    )
    return [Event(at + i, kind, data) for i, (kind, data) in enumerate(lines)]
