"""The judge on whole journals: what each proof is for, and that nothing passes without it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resilience.judge import judge, verdict_json
from resilience.model import Event, Verdict
from tests.journals import DAY, LATE, NEW, OLD, changed, healthy, journal, missed, simulated, unknown, without

KEYS = {
    "verdict": None,
    "fault": None,
    "seed": None,
    "accepted_end": None,
    "simulated": None,
    "why": None,
    "reprotected_s": None,
    "rto": {
        "promise_s",
        "measured_s",
        "decide_s",
        "provision_s",
        "data_s",
        "start_s",
        "name_s",
        "ttl_s",
        "human_decide_s",
    },
    "rpo": {"promise_s", "measured_s", "acknowledged", "lost"},
    "newcomers": {"told", "missing"},
    "media": {"objects", "missing", "corrupt"},
    "takedowns": {"issued", "resurrected"},
    "blackhole": {"vendors", "calls"},
    "fence": {"attempts", "accepted"},
    "data": {"db_bytes", "media_bytes"},
    "protection": {"vaults", "next_site", "thin"},
}


def swapped(events: list[Event], old: Event, *new: Event) -> list[Event]:
    """The same journal with one line replaced."""
    at = next(i for i, e in enumerate(events) if e is old)
    return [*events[:at], *new, *events[at + 1 :]]


def back_line(events: list[Event]) -> Event:
    """The journey with which the users were back."""
    return next(e for e in events if e.kind == "journey" and e.data["ok"] and e.data["address"] == NEW)


def with_journey(at: float, **data: Any) -> list[Event]:
    """A healthy journal in which the users came back at another moment, or in another way."""
    events = healthy()
    line = back_line(events)
    return swapped(events, line, Event(at, "journey", {**line.data, **data}))


def reasons(verdict: Verdict, part: str) -> list[str]:
    """The sentences about one part."""
    return [why for why in verdict.why if why.startswith(part)]


def test_met_when_everything_is_proven() -> None:
    """A drill with all proofs, all within the promise, is met and has nothing to explain."""
    verdict = judge(healthy())
    assert verdict.verdict == "met"
    assert verdict.why == ()
    assert verdict.rto.measured_s == pytest.approx(71.1)
    assert verdict.rpo.lost == 8
    assert verdict.rpo.measured_s == pytest.approx(0.377, abs=0.001)
    assert verdict.reprotected_s == pytest.approx(101.1)


def test_json_has_the_keys_others_rely_on() -> None:
    """`verdict.json` has exactly the design's keys, whatever the journal was."""
    for events in (healthy(), missed(), unknown(), simulated(), []):
        found = verdict_json(judge(events))
        assert set(found) == set(KEYS)
        for key, inner in KEYS.items():
            if inner is not None:
                assert set(found[key]) == inner
    assert verdict_json(judge(healthy()))["blackhole"]["calls"] == 0


def test_parts_sum_to_the_rto_and_shared_time_counts_once() -> None:
    """The ledger was fetched while the host was shaped: that time is the earlier part's, and only its."""
    rto = judge(healthy()).rto
    parts = [rto.decide_s, rto.provision_s, rto.data_s, rto.start_s, rto.name_s]
    assert parts == pytest.approx([1.7, 33.9, 12.8, 4.3, 18.4])
    assert sum(p for p in parts if p is not None) == pytest.approx(rto.measured_s)


def test_a_part_without_steps_takes_no_time() -> None:
    """A hot standby provisions nothing: the part is 0, and the others still sum to the RTO."""
    events = [e for e in healthy() if e.data.get("phase") != "provision"]
    verdict = judge(events)
    assert verdict.verdict == "met"
    assert verdict.rto.provision_s == 0
    assert verdict.rto.data_s == pytest.approx(48.4 - 1.7)


def test_a_phase_that_ran_wholly_inside_an_earlier_one_takes_no_time() -> None:
    """Data that was ready before the host was shaped delayed nobody: 0 seconds, never a negative number."""
    events = [e for e in healthy() if e.data.get("phase") != "data" or e.data.get("action") == "ledger"]
    rto = judge(events).rto
    assert rto.data_s == 0
    assert rto.start_s == pytest.approx(52.7 - 35.6)


def test_a_step_that_ended_after_the_users_were_back_delays_no_part() -> None:
    """What nobody waited for is in no part of the RTO."""
    events = healthy()
    late = Event(DAY + 100, "step-done", {"id": "late", "action": "x", "phase": "data", "facts": {}})
    assert judge([*events, late]).rto == judge(events).rto


def test_a_person_deciding_is_shown_and_changes_nothing() -> None:
    """The machine's part is compared; the declared time for a person comes on top of both sides."""
    promise = {"rto_s": 90, "rpo_s": 2, "human_decide_s": 3000}
    verdict = judge(changed(healthy(), "drill-started", promise=promise))
    assert verdict.verdict == "met"
    assert verdict.rto.with_person_s == pytest.approx(3071.1)


@pytest.mark.parametrize("promised", [71.2, 71.0])
def test_the_rto_is_compared_with_the_promise(promised: float) -> None:
    """A second over the promise is missed, a moment under it is met."""
    promise = {"rto_s": promised, "rpo_s": 2, "human_decide_s": 0}
    assert judge(changed(healthy(), "drill-started", promise=promise)).verdict == (
        "met" if promised > 71.1 else "missed"
    )


def test_missed_says_by_how_much() -> None:
    """Both broken promises are named with what was measured and what was promised."""
    verdict = judge(missed())
    assert verdict.verdict == "missed"
    assert reasons(verdict, "RTO") == ["RTO: users were back 135.1 s after the fault, promised was 90 s."]
    assert reasons(verdict, "RPO") == [
        "RPO: 74 acknowledged writes lost, the oldest 3.7 s before the fault, promised was 2 s."
    ]


def test_quorum_promises_that_no_acknowledged_write_is_lost() -> None:
    """Eight writes of the last half second: in async that is within the promise of two seconds, in quorum none may go."""
    verdict = judge(changed(healthy(), "drill-started", durability="quorum"))
    assert (verdict.verdict, verdict.rpo.lost) == ("missed", 8)
    assert reasons(verdict, "RPO") == [
        "RPO: 8 acknowledged writes lost. In quorum none may be: a commit waits until enough vaults hold it."
    ]
    nothing = changed(changed(healthy(), "drill-started", durability="quorum"), "writes-checked", missing=[])
    assert judge(nothing).verdict == "met"


@pytest.mark.parametrize("missing", [0, 1])
def test_nobody_who_was_told_that_they_are_in_may_be_missing(missing: int) -> None:
    """A post of the last moment may be lost within the promise; a person who was let in at the same moment may not."""
    came = [{"id": f"@new{n}", "at": DAY - 0.1, "media": None, "newcomer": True} for n in range(3)]
    events = healthy()
    line = next(event for event in events if event.kind == "acknowledged")
    events = swapped(events, line, Event(line.at, "acknowledged", {"writes": [*line.data["writes"], *came]}))
    looked = next(event for event in events if event.kind == "writes-checked").data
    looked = {"checked": looked["checked"] + 3, "missing": [one["id"] for one in came[:missing]]}
    verdict = judge(changed(events, "writes-checked", **looked))
    assert (verdict.newcomers.told, verdict.newcomers.missing) == (3, missing)
    assert verdict.verdict == ("missed" if missing else "met")
    told = ["Newcomers: of 3 who were told that they are in, 1 are missing."] if missing else []
    assert reasons(verdict, "Newcomers") == told


@pytest.mark.parametrize(
    "kind",
    [
        "drill-started",
        "fault",
        "decided",
        "step-done",
        "journey",
        "acknowledged",
        "writes-checked",
        "media-checked",
        "takedowns-checked",
        "takedowns-seen",
        "fence",
        "blackhole",
        "protected-again",
        "data",
    ],
)
def test_no_proof_may_be_missing(kind: str) -> None:
    """Without any one of the proofs the verdict is unknown and says what is missing."""
    verdict = judge(without(healthy(), kind))
    assert verdict.verdict == "unknown"
    assert verdict.why


@pytest.mark.parametrize(
    ("kind", "data", "part"),
    [
        ("media-checked", {"missing": ["aa"]}, "Pictures"),
        ("media-checked", {"corrupt": ["aa", "bb"]}, "Pictures"),
        ("takedowns-checked", {"resurrected": ["p1"]}, "Takedowns"),
        ("takedowns-checked", {"issued": 11}, "Takedowns: of 12 that were acknowledged, the ledger knows 11."),
        ("takedowns-checked", {"issued": 0}, "Takedowns: of 12 that were acknowledged, the ledger knows 0."),
        ("takedowns-seen", {"shown": LATE[:1]}, "Takedowns: users see 1 taken-down post again."),
        ("fence", {"accepted": 1}, "Fence"),
        ("blackhole", {"calls": [{"from": "op", "vendor": "acorn", "attempts": 3}]}, "Black hole"),
        ("blackhole", {"calls": [{"from": "op", "vendor": "acorn"}], "complete": False}, "Black hole"),
        ("blackhole", {"calls": [{"from": "op", "vendor": "acorn", "attempts": 0}]}, "Black hole"),
    ],
)
def test_a_proven_break_is_missed(kind: str, data: dict[str, Any], part: str) -> None:
    """Each counted thing that must be 0 makes the verdict missed, with a sentence of its own."""
    verdict = judge(changed(healthy(), kind, **data))
    assert verdict.verdict == "missed"
    assert verdict.why[0].startswith(part)


@pytest.mark.parametrize(
    ("kind", "data", "part"),
    [
        ("media-checked", {"objects": 0}, "Pictures"),
        ("media-checked", {"missing": None}, "Pictures"),
        ("data", {"takedowns": None}, "Takedowns"),
        ("taken-down", {"posts": None}, "Takedowns"),
        ("takedowns-seen", {"shown": None}, "Takedowns"),
        ("takedowns-seen", {"unchecked": LATE[:1]}, "Takedowns"),
        ("takedowns-seen", {"asked": LATE[1:]}, "Takedowns"),
        ("takedowns-checked", {"resurrected": -1}, "Takedowns"),
        ("fence", {"attempts": 0}, "Fence"),
        ("fence", {"accepted": False}, "Fence"),
        ("blackhole", {"complete": False}, "Black hole"),
        ("blackhole", {"complete": "yes"}, "Black hole"),
        ("blackhole", {"vendors": ["elm"]}, "Black hole"),
        ("blackhole", {"calls": 0}, "Black hole"),
        ("writes-checked", {"unchecked": ["w-000001"]}, "RPO"),
        ("writes-checked", {"checked": 700}, "RPO"),
        ("writes-checked", {"missing": ["nobody-wrote-this"]}, "RPO"),
        ("acknowledged", {"writes": [{"id": "x", "at": math.nan}]}, "RPO"),
        ("acknowledged", {"writes": []}, "RPO"),
        ("protected-again", {"vaults": []}, "Second clock"),
        ("protected-again", {"vaults": ["birch"]}, "Second clock"),
        ("protected-again", {"snapshot": ""}, "Second clock"),
        ("protected-again", {"at": DAY - 5}, "Second clock"),
        ("data", {"db_bytes": 0}, "Data"),
        ("drill-started", {"seed": "7"}, "Drill"),
        ("drill-started", {"simulated": None}, "Drill"),
        ("drill-started", {"durability": None}, "RPO"),
        ("drill-started", {"ttl_s": -30}, "Promise"),
        ("drill-started", {"promise": {"rto_s": math.inf, "rpo_s": 2, "human_decide_s": 0}}, "Promise"),
        ("fault", {"vendors": "acorn"}, "Black hole"),
        ("decided", {"at": DAY - 1}, "Parts of the RTO"),
        ("step-done", {"phase": "lunch"}, "Parts of the RTO"),
    ],
)
def test_what_proves_nothing_is_unknown(kind: str, data: dict[str, Any], part: str) -> None:
    """Counts of nothing, doubtful counts and numbers that cannot be true are unknown, with the reason."""
    verdict = judge(changed(healthy(), kind, **data))
    assert verdict.verdict == "unknown"
    assert reasons(verdict, part)


def test_unknown_counts_are_not_shown_as_zero() -> None:
    """A count of 0 that is not proven is null in the JSON, never 0."""
    found = verdict_json(judge(unknown()))
    assert found["blackhole"]["calls"] is None
    assert found["rpo"]["measured_s"] is None
    assert found["rpo"]["lost"] == 1


@pytest.mark.parametrize("at", [DAY, DAY - 3])
def test_an_rto_that_cannot_be_true_is_unknown(at: float) -> None:
    """Users that were back at the moment of the fault, or before it, mean that a clock is wrong."""
    verdict = judge(with_journey(at))
    assert verdict.verdict == "unknown"
    assert verdict.rto.measured_s is None


def test_a_success_at_the_old_site_is_no_recovery() -> None:
    """Where the old site lives on, reaching it by name proves nothing about the new one."""
    verdict = judge(with_journey(DAY + 3, address=OLD))
    assert verdict.rto.measured_s is None
    assert verdict.verdict == "unknown"


@pytest.mark.parametrize("data", [{"by": "address"}, {"address": None}, {"ok": "true"}])
def test_only_a_success_by_name_counts(data: dict[str, Any]) -> None:
    """A journey by address, to nowhere known, or whose success is not a plain yes is no recovery."""
    assert judge(with_journey(DAY + 60, **data)).rto.measured_s is None


def test_the_old_address_may_come_from_the_step_that_pointed_there() -> None:
    """Without a journey before the fault, the name's own step says where the old site was."""
    events = [e for e in healthy() if e.kind != "journey" or e.at > DAY]
    assert judge(events).verdict == "unknown"
    pointed = Event(DAY - 60, "step-done", {"id": "p", "phase": "name", "action": "point", "facts": {"address": OLD}})
    assert judge([events[0], pointed, *events[1:]]).verdict == "met"


def test_a_dns_vendor_where_the_name_was_not_moved_is_no_success() -> None:
    """Users who get through elsewhere prove nothing about those it leads; told later, or counted as lost, it is settled."""
    step = {"id": "name.point.dover", "action": "point", "phase": "name", "subject": "dover"}
    failed = Event(DAY + 600.0, "step-failed", {**step, "what": "dover is silent"})
    told = Event(DAY + 601.0, "step-done", {**step, "facts": {"address": NEW}})
    planned = next(event for event in healthy() if event.kind == "plan")
    without_it = Event(DAY + 601.0, "plan", {"plan": {**planned.data["plan"], "lost": ["dover"]}})
    verdict = judge([*healthy(), failed])
    assert verdict.verdict == "unknown"
    assert reasons(verdict, "Name") == [
        "Name: it was not moved at dover (dover is silent), which may lead users to the old site."
    ]
    assert judge([*healthy(), failed, told]).verdict == "met"
    assert not reasons(judge([*healthy(), failed, without_it]), "Name")


def test_nobody_back_after_the_promised_time_is_missed() -> None:
    """A journey that still fails after the promised time proves a miss without any number."""
    verdict = judge(with_journey(DAY + 95, ok=False, why="no answer"))
    assert verdict.verdict == "missed"
    assert verdict.rto.measured_s is None
    assert "95 s after the fault" in verdict.why[0]


def test_waiting_in_vain_for_users_is_missed() -> None:
    """The plan's own step that waits for users by name gave up after the promised time: a miss."""
    gave_up = Event(DAY + 120, "step-failed", {"id": "journey", "phase": "name", "what": "no answer"})
    events = healthy()
    verdict = judge([*(e for e in events if e is not back_line(events)), gave_up])
    assert verdict.verdict == "missed"


def test_nobody_back_within_the_promised_time_is_unknown_and_says_where_it_stopped() -> None:
    """A failover that stopped early proves nothing; the verdict names the step and its error."""
    failed = Event(DAY + 65, "step-failed", {"id": "restore", "phase": "data", "what": "elm answered 403"})
    verdict = judge([*with_journey(DAY + 64, ok=False), failed])
    assert verdict.verdict == "unknown"
    assert "stopped at restore: elm answered 403" in " ".join(verdict.why)


def test_too_few_writes_prove_no_rpo() -> None:
    """Fewer than 100 acknowledged writes in the 10 s before the fault: unknown, even if none was lost."""
    verdict = judge(journal(rate=9, lost_s=0.0))
    assert verdict.verdict == "unknown"
    assert verdict.rpo.measured_s is None
    assert "only 90 writes" in reasons(verdict, "RPO")[0]


def test_too_few_writes_still_prove_a_loss() -> None:
    """An old write that is gone is gone, however few others there were."""
    verdict = judge(journal(rate=4, lost_s=5))
    assert verdict.verdict == "missed"
    assert verdict.rpo.measured_s == pytest.approx(5, abs=0.3)


def test_nothing_lost_is_zero_seconds() -> None:
    """No lost write is an RPO of 0, which is a number that can be true."""
    verdict = judge(journal(lost_s=0))
    assert verdict.verdict == "met"
    assert (verdict.rpo.measured_s, verdict.rpo.lost) == (0.0, 0)


def test_a_write_lost_long_after_the_fault_is_a_miss() -> None:
    """The old site lived on and acknowledged what the new one never got."""
    stray = Event(DAY + 20, "acknowledged", {"writes": [{"id": "stray", "at": DAY + 12, "media": None}]})
    verdict = judge([*changed(healthy(), "writes-checked", missing=["stray"]), stray])
    assert verdict.verdict == "missed"
    assert "12 s after the fault" in reasons(verdict, "RPO")[0]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("blackhole", {"vendors": ["acorn"], "complete": True, "calls": [{"packets": 1}]}),
        ("takedowns-checked", {"issued": 12, "resurrected": ["p1"]}),
        ("fence", {"attempts": 3, "accepted": 1}),
    ],
)
def test_what_was_seen_once_cannot_be_unseen(kind: str, data: dict[str, Any]) -> None:
    """A later, clean count does not take back a call, a resurrected post or a split brain."""
    events = healthy()
    fault = next(i for i, e in enumerate(events) if e.kind == "fault")
    assert judge([*events[: fault + 1], Event(DAY + 70, kind, data), *events[fault + 1 :]]).verdict == "missed"


def test_a_black_hole_read_too_early_proves_nothing() -> None:
    """Counters that were read before the users were back miss what was called afterwards."""
    events = healthy()
    line = next(e for e in events if e.kind == "blackhole")
    events = swapped(without(events, "blackhole"), back_line(events), line, back_line(events))
    assert judge(events).verdict == "unknown"


@pytest.mark.parametrize(
    "kind",
    ["writes-checked", "media-checked", "takedowns-checked", "fence", "blackhole", "protected-again", "decided"],
)
def test_a_proof_from_before_the_fault_proves_nothing(kind: str) -> None:
    """What was checked while all was well says nothing about afterwards."""
    events = healthy()
    early = [e for e in events if e.kind == kind]
    assert judge([events[0], *early, *without(events[1:], kind)]).verdict == "unknown"


def test_a_proven_miss_outweighs_an_unknown() -> None:
    """One proven break is enough for missed, even where another part is not known; both are explained."""
    verdict = judge(without(missed(), "fence"))
    assert verdict.verdict == "missed"
    assert reasons(verdict, "Fence")


def test_simulated_is_unknown_whatever_it_shows() -> None:
    """A simulation measured nothing real: unknown when all went well, and unknown when it did not."""
    assert judge(simulated()).verdict == "unknown"
    assert judge(simulated()).simulated
    assert judge(changed(simulated(), "fence", accepted=4)).verdict == "unknown"


def test_two_drills_in_one_journal_are_unknown() -> None:
    """Lines of two drills cannot be told apart, so nothing is proven."""
    events = healthy()
    assert judge([events[0], *events]).verdict == "unknown"
