"""The judge on journals nobody would write: it never fails, and never says met without every proof."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.judge import judge, verdict_json
from resilience.model import Event
from tests.strange import HEALTHY, journals, values

PROOFS = {
    "drill-started",
    "fault",
    "decided",
    "step-done",
    "journey",
    "acknowledged",
    "writes-checked",
    "media-checked",
    "takedowns-checked",
    "fence",
    "blackhole",
    "protected-again",
    "data",
}


@given(journals)
def test_any_lines_never_make_a_pass(events: list[Event]) -> None:
    """Whatever lines come in whatever order, met takes every proof, and the judge never raises."""
    verdict = judge(events)
    assert verdict.why or verdict.verdict == "met"
    if verdict.verdict == "met":
        assert {e.kind for e in events} >= PROOFS
    assert verdict_json(verdict)["verdict"] == verdict.verdict


@given(st.sets(st.integers(0, len(HEALTHY) - 1), min_size=1, max_size=30))
def test_leaving_lines_out_never_turns_a_loss_into_a_better_verdict(dropped: set[int]) -> None:
    """A journal with lines taken away is met only while every kind of proof is left, and counts no more losses."""
    events = [e for i, e in enumerate(HEALTHY) if i not in dropped]
    verdict = judge(events)
    assert verdict.verdict in {"met", "unknown"} or verdict.rto.measured_s is None
    if verdict.verdict == "met":
        assert {e.kind for e in events} >= PROOFS


@settings(max_examples=300)
@given(st.data())
def test_one_altered_fact_is_understood_or_unknown(data: st.DataObject) -> None:
    """One field changed to anything: a number that is shown is a number that can be true."""
    events = copy.copy(HEALTHY)
    line = data.draw(st.integers(0, len(events) - 1))
    old = events[line]
    key = data.draw(st.sampled_from([*old.data, "at"]))
    events[line] = Event(old.at, old.kind, {**old.data, key: data.draw(values)})
    verdict = judge(events)
    for shown in _numbers(verdict_json(verdict)):
        assert shown >= 0
    assert verdict.rto.measured_s is None or verdict.rto.measured_s > 0
    if verdict.rto.name_s is not None:
        _assert_parts_sum(verdict_json(verdict)["rto"])


@given(st.floats(0.01, 500), st.floats(0, 500))
def test_met_is_exactly_within_the_promise(promise_s: float, rpo_s: float) -> None:
    """With all proofs there, met and within both promises are the same thing."""
    promise = {"rto_s": promise_s, "rpo_s": rpo_s, "human_decide_s": 0}
    verdict = judge([Event(e.at, e.kind, {**e.data, "promise": promise}) if e is HEALTHY[0] else e for e in HEALTHY])
    measured, reach = verdict.rto.measured_s, verdict.rpo.measured_s
    assert measured is not None
    assert reach is not None
    assert verdict.verdict == ("met" if measured <= promise_s and reach <= rpo_s else "missed")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for key, inner in value.items() if key not in {"seed", "why"} for n in _numbers(inner)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _assert_parts_sum(rto: dict[str, float]) -> None:
    parts = [rto[f"{part}_s"] for part in ("decide", "provision", "data", "start", "name")]
    assert abs(sum(parts) - rto["measured_s"]) < 1e-4
