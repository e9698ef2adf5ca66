"""history.html: how drills went over time, each phase of each RTO, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from resilience.judge import PARTS
from resilience.render import words
from resilience.render.charts import Axis, Bar, Chart, Rule, Word
from resilience.render.report import pages

Entry = Mapping[str, Any]
WIDTH, GUTTER, ROW, TOP, MOST = 960, 300.0, 24.0, 34.0, 60


def history_html(entries: Sequence[Entry], warning: str = "") -> str:
    """One page with a picture of the newest drills and a table of all; it needs no script and no network."""
    newest = list(reversed(entries))
    return (
        pages()
        .get_template("history.html")
        .render(
            entries=newest,
            warning=warning,
            chart=trend(newest[:MOST]) if entries else None,
            phases=[p.value for p in PARTS],
            names=[name(e) for e in newest],
            trends=trends(entries),
        )
    )


def name(entry: Entry) -> str:
    """What a drill was, in few words: `terminate acorn`."""
    vendors = " ".join(entry["vendors"])
    kind = "" if entry["kind"] == "drill" else f"{entry['kind']}: "
    return f"{kind}{entry['fault']} {vendors}".strip()


def trends(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """For each kind of drill: how often, how often met, its newest RTO and how that changed since the one before."""
    kinds: dict[str, list[Entry]] = {}
    for entry in entries:
        kinds.setdefault(f"{name(entry)}, {entry['size']}, {entry['standby']}, {entry['durability']}", []).append(entry)
    return [_trend(kind, found) for kind, found in kinds.items()]


def _trend(kind: str, found: Sequence[Entry]) -> dict[str, Any]:
    took = [e["rto"]["measured_s"] for e in found if e["rto"]["measured_s"] is not None]
    change = [after - before for before, after in pairwise(took)][-1:]
    return {
        "kind": kind,
        "drills": len(found),
        "met": sum(e["verdict"] == "met" for e in found),
        "rto_s": took[-1] if took else None,
        "change_s": change[0] if change else None,
        "lost": max((e["rpo"]["lost"] or 0 for e in found), default=0),
    }


def trend(entries: Sequence[Entry]) -> Chart:
    """One bar a drill, newest first, made of its phases; the promise is a line."""
    known = [e["rto"]["measured_s"] for e in entries if e["rto"]["measured_s"] is not None]
    promised = [e["rto"]["promise_s"] for e in entries if e["rto"]["promise_s"] is not None]
    axis = Axis(0.0, max([1.0, *known, *promised[:1]]) * 1.12, GUTTER, WIDTH - 60.0)
    bars: list[Bar] = []
    said: list[Word] = []
    for number, entry in enumerate(entries):
        y = TOP + number * ROW
        bars += _bars(entry, axis, y)
        at = words.moment(float(entry["at"]))[5:16]
        said.append(Word(GUTTER - 10, y + 13, f"{at}  {name(entry)}"[:44], "end", "step"))
        measured = entry["rto"]["measured_s"]
        label = words.measured(measured) if measured is not None else entry["verdict"]
        said.append(Word(axis.x(measured or 0) + 6, y + 13, label, "start", "took"))
    bottom = TOP + len(entries) * ROW
    rules = [Rule(axis.x(t), TOP - 6, axis.x(t), bottom, "grid") for t in axis.ticks()]
    said += [Word(axis.x(t), bottom + 16, words.seconds(t), "middle", "tick") for t in axis.ticks()]
    if promised:
        x = axis.x(promised[0])
        rules.append(Rule(x, TOP - 8, x, bottom, "promise"))
        said.append(Word(x, TOP - 14, f"promised {words.seconds(promised[0])}", "middle", "promise"))
    told = f"{len(entries)} drills, newest first; each bar is the time until users were back, by phase."
    return Chart(WIDTH, bottom + 26, tuple(bars), tuple(rules), tuple(said), "Trend of the RTO", told)


def _bars(entry: Entry, axis: Axis, y: float) -> list[Bar]:
    bars, at = [], 0.0
    for phase in PARTS:
        took = entry["rto"].get(f"{phase.value}_s") or 0.0
        x = axis.x(at)
        bars.append(Bar(x, y, axis.x(at + took) - x, ROW - 6, phase.value, "", f"{phase.value} {words.measured(took)}"))
        at += took
    return bars
