"""Where each bar, line and word of the charts goes. Pure geometry; the templates draw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resilience.judge import PARTS
from resilience.model import Phase, Verdict
from resilience.render import words
from resilience.render.story import Mark, Ran, Second, Story

GLYPH = 6.6
"""Width of an average letter at the charts' font size."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with what it means; `label` is empty where it would not fit."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of text."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A vertical or horizontal line."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: its size and everything on it."""

    width: int
    height: float
    bars: tuple[Bar, ...]
    rules: tuple[Rule, ...]
    words: tuple[Word, ...]
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds to the right."""

    first: float
    last: float
    left: float
    right: float

    def x(self, at: float) -> float:
        """Where a moment is; moments off the axis are at its ends."""
        share = (min(max(at, self.first), self.last) - self.first) / max(self.last - self.first, 1e-9)
        return round(self.left + share * (self.right - self.left), 2)

    def ticks(self) -> list[float]:
        """Round numbers, six or so."""
        step = nice((self.last - self.first) / max(5, (self.right - self.left) / 110))
        start = math.ceil(self.first / step) * step
        return [start + step * i for i in range(int((self.last - start) / step + 1e-9) + 1)]


def nice(rough: float) -> float:
    """The next of 1, 2, 5, 10, 20, 30, 60 … that is not smaller."""
    for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600):
        if rough <= step:
            return step
    return math.ceil(rough / 3600) * 3600


def timeline(told: Story, verdict: Verdict, width: int) -> Chart:
    """The phases in one bar against the promise, and each step on a line of its own below."""
    wide = width > 600  # noqa: PLR2004
    gutter = 172.0 if wide else 12.0
    axis = Axis(0.0, _end(told, verdict), gutter, width - 12.0)
    top = 56.0
    bars = _phase_bars(verdict, axis, top)
    row, y = (21.0, top + 56.0) if wide else (33.0, top + 62.0)
    labels: list[Word] = []
    for ran in (r for r in told.steps if r.start <= axis.last):
        bars.append(_step_bar(ran, axis, y if wide else y + 13))
        text = f"{ran.action} {ran.subject}".strip()
        labels.append(
            Word(gutter - 10, y + 11, _cut(text, 24), "end", "step")
            if wide
            else Word(gutter, y + 9, _cut(text, 44), "start", "step")
        )
        labels.append(_took_label(ran, axis, y if wide else y + 13))
        y += row
    bottom = y + 4
    rules, marks = _timeline_lines(verdict, axis, top, bottom)
    if wide:
        labels.append(Word(gutter - 10, top + 22, "all phases", "end", "strong"))
    ticks = [Word(axis.x(t), bottom + 17, words.seconds(t), "middle", "tick") for t in axis.ticks()]
    rules += [Rule(axis.x(t), top - 4, axis.x(t), bottom, "grid") for t in axis.ticks()]
    return Chart(
        width,
        bottom + 26,
        tuple(bars),
        tuple(rules),
        (*labels, *marks, *ticks),
        "Timeline of the failover",
        _timeline_said(told, verdict),
    )


LONGEST = 1e9
"""Seconds that a picture shows at most: thirty years."""


def _end(told: Story, verdict: Verdict) -> float:
    """Where the seconds axis ends: past the promise, the recovery, and the second clock where it is not far off."""
    known = [x for x in (verdict.rto.promise_s, verdict.rto.measured_s) if x is not None]
    known += [r.end for r in told.steps if r.phase != Phase.PROTECT and r.end is not None]
    end = min(LONGEST, max([1.0, *(x for x in known if math.isfinite(x))]))
    if verdict.reprotected_s is not None and verdict.reprotected_s < 1.8 * end:
        end = max(end, verdict.reprotected_s)
    return end * 1.07


def _phase_bars(verdict: Verdict, axis: Axis, y: float) -> list[Bar]:
    """The five parts side by side; nothing where they are not known."""
    bars: list[Bar] = []
    at = 0.0
    for phase in PARTS:
        took = getattr(verdict.rto, f"{phase.value}_s")
        if took is None:
            return []
        x, width = axis.x(at), axis.x(at + took) - axis.x(at)
        said = f"{phase.value} {words.measured(took)}"
        label = said if width > len(said) * GLYPH + 8 else phase.value if width > len(phase.value) * GLYPH + 8 else ""
        bars.append(Bar(x, y, max(width, 0.5 if took else 0), 34, phase.value, label, said))
        at += took
    return bars


def _step_bar(ran: Ran, axis: Axis, y: float) -> Bar:
    """One step; it is at least a hair wide, so that it can be seen."""
    end = ran.end if ran.end is not None else axis.last
    x = axis.x(ran.start)
    said = f"{ran.action} {ran.subject}: {words.measured(ran.took)}, from {words.measured(max(ran.start, 0))} after the fault. "
    kind = f"{ran.phase} failed" if ran.error else ran.phase
    return Bar(x, y, max(axis.x(end) - x, 2.0), 14, kind, "", said + (ran.error or ran.reason))


def _took_label(ran: Ran, axis: Axis, y: float) -> Word:
    """How long a step took, after its bar, or before it where the chart ends."""
    text = "failed" if ran.error else "never ended" if ran.took is None else words.measured(ran.took)
    end = axis.x(ran.end if ran.end is not None else axis.last)
    if end + len(text) * GLYPH + 8 < axis.right:
        return Word(end + 5, y + 11, text, "start", "took")
    return Word(axis.x(ran.start) - 5, y + 11, text, "end", "took")


def _timeline_lines(verdict: Verdict, axis: Axis, top: float, bottom: float) -> tuple[list[Rule], list[Word]]:
    """The promise, the recovery and the second clock."""
    lines: list[tuple[float | None, str, str]] = [
        (verdict.rto.measured_s, f"users back {words.measured(verdict.rto.measured_s)}", "back"),
        (verdict.rto.promise_s, f"promised {words.seconds(verdict.rto.promise_s)}", "promise"),
        (verdict.reprotected_s, f"protected again {words.measured(verdict.reprotected_s)}", "protected"),
    ]
    marks = [Mark(at, text, kind) for at, text, kind in lines if at is not None and at <= axis.last]
    rules = [Rule(axis.x(m.at), top - 8, axis.x(m.at), bottom, m.kind) for m in marks]
    return rules, _lanes(marks, axis, 12.0, 15.0)


def _lanes(marks: Sequence[Mark], axis: Axis, y: float, step: float, lanes: int = 3) -> list[Word]:
    """Labels over a chart, moved into the next lane where they would touch."""
    taken = [-1e9] * lanes
    found = []
    for mark in sorted(marks, key=lambda m: m.at):
        half = len(mark.label) * GLYPH / 2
        x = min(max(axis.x(mark.at), axis.left + half), axis.right - half + 10)
        lane = next((i for i in range(lanes) if taken[i] < x - half - 8), lanes - 1)
        taken[lane] = x + half
        found.append(Word(round(x, 2), y + lane * step, mark.label, "middle", mark.kind))
    return found


def traffic(told: Story, width: int) -> Chart | None:
    """Requests a second, answered and failed, with the gap; None where nobody kept them."""
    if not told.traffic:
        return None
    wide = width > 600  # noqa: PLR2004
    binned, span = _binned(told.traffic, int(width / (4 if wide else 3)))
    axis = Axis(float(binned[0].at), float(binned[-1].at + span), 40.0, width - 12.0)
    top, floor = 60.0, 230.0 if wide else 210.0
    peak = max(1.0, *((s.ok + s.failed) / span for s in binned))
    scale = (floor - top) / (peak * 1.05)
    bars = _gap_bar(told, axis, top, floor)
    for second in binned:
        bars += _traffic_bars(second, span, axis, floor, scale)
    rules, labels = _traffic_frame(axis, peak, floor, scale)
    marks = [m for m in told.marks if axis.first <= m.at <= axis.last]
    rules += [Rule(axis.x(m.at), top - 6, axis.x(m.at), floor, m.kind) for m in marks]
    labels += _lanes(marks, axis, 14.0, 15.0)
    return Chart(
        width,
        floor + 32,
        tuple(bars),
        tuple(rules),
        tuple(labels),
        "Requests a second",
        _traffic_said(told),
    )


def _binned(seconds: Sequence[Second], most: int) -> tuple[list[Second], int]:
    """The same requests in at most so many bars; how many seconds a bar is."""
    span = math.ceil(len(seconds) / max(1, most))
    if span == 1:
        return list(seconds), 1
    groups = [seconds[i : i + span] for i in range(0, len(seconds), span)]
    return [Second(g[0].at, sum(s.ok for s in g), sum(s.failed for s in g)) for g in groups], span


def _traffic_bars(second: Second, span: int, axis: Axis, floor: float, scale: float) -> list[Bar]:
    """Answered below, failed on top."""
    x, right = axis.x(second.at), axis.x(second.at + span)
    width = round(max(0.8, (right - x) * 0.86), 2)
    title = f"{second.at:+d} s: {second.ok} answered, {second.failed} failed"
    good, bad = round(second.ok / span * scale, 2), round(second.failed / span * scale, 2)
    bars = [Bar(x, round(floor - good, 2), width, good, "ok", "", title)] if second.ok else []
    if second.failed:
        bars.append(Bar(x, round(floor - good - bad, 2), width, bad, "bad", "", title))
    return bars


def _gap_bar(told: Story, axis: Axis, top: float, floor: float) -> list[Bar]:
    """The silence, shaded, with its length."""
    if told.gap is None:
        return []
    first, last = told.gap
    x, width = axis.x(first), axis.x(last) - axis.x(first)
    said = f"{words.measured(last - first)} without an answer"
    label = said if width > len(said) * GLYPH + 24 else words.measured(last - first) if width > 40 else ""  # noqa: PLR2004
    return [Bar(x, top, width, floor - top, "gap", label, said)]


def _traffic_frame(axis: Axis, peak: float, floor: float, scale: float) -> tuple[list[Rule], list[Word]]:
    """Ticks of both axes."""
    step = nice(peak / 3)
    rules = [Rule(axis.left, floor, axis.right, floor, "axis")]
    labels: list[Word] = []
    for i in range(int(peak / step) + 1):
        y = round(floor - i * step * scale, 2)
        labels.append(Word(axis.left - 6, y + (4 if i else 1), f"{i * step:g}", "end", "tick"))
        rules.append(Rule(axis.left, y, axis.right, y, "grid"))
    labels += [Word(axis.x(t), floor + 20, f"{t:+g} s" if t else "0 s", "middle", "tick") for t in axis.ticks()]
    return rules, labels


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _timeline_said(told: Story, verdict: Verdict) -> str:
    """The picture in words, for who cannot see it."""
    parts = [f"{p.value} {words.measured(getattr(verdict.rto, f'{p.value}_s'))}" for p in PARTS]
    return (
        f"Users were back after {words.measured(verdict.rto.measured_s)}; promised were "
        f"{words.seconds(verdict.rto.promise_s)}. Parts: {', '.join(parts)}. {len(told.steps)} steps, listed in the table."
    )


def _traffic_said(told: Story) -> str:
    """The picture in words, for who cannot see it."""
    ok, failed = sum(s.ok for s in told.traffic), sum(s.failed for s in told.traffic)
    silence = "" if told.gap is None else f" The longest silence was {words.measured(told.gap[1] - told.gap[0])}."
    return f"{ok:,} requests were answered and {failed:,} failed.{silence}"
