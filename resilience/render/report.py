"""report.html: one page that holds everything, for a person who was not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resilience.judge import PARTS, judge, verdict_json
from resilience.model import Event, Verdict
from resilience.render import charts, words
from resilience.render.story import Story, by_vendor, story

if TYPE_CHECKING:
    from jinja2 import Environment

WIDE, NARROW = 960, 380

FAULTS = {
    "terminate": "{lost} closed the account and switched the hosts off",
    "delete": "{lost} closed the account and deleted what was there",
    "control-plane": "{lost} locked us out; the old hosts there lived on",
    "correlated": "{lost} closed our accounts on the same day",
    "hijack": "somebody used the credentials of {lost} to destroy copies",
    "bit-rot": "copies were altered where they lay",
    "rehearsal": "Nothing happened: the live site went on, and {lost} was left out on purpose",
}
"""What happened, by the fault's name."""


REHEARSED = ("users back", "pictures missing", "takedowns undone")
"""What a rehearsal can measure; nobody was cut off, moved or fenced."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One measured thing beside what was promised; `state` is met, missed or unknown."""

    label: str
    value: str
    promise: str
    state: str = "unknown"


def report_html(events: Sequence[Event], verdict: Verdict | None = None) -> str:
    """The page for one journal; it needs no script, no network and no other file."""
    judged = verdict or judge(events)
    told = story(events)
    return (
        pages()
        .get_template("report.html")
        .render(
            verdict=judged,
            told=told,
            live=judged.fault == "rehearsal",
            tiles=tiles(judged),
            happened=happened(told),
            phases=[(p.value, getattr(judged.rto, f"{p.value}_s")) for p in PARTS],
            vendors=by_vendor(told),
            again=again(told),
            timelines=[charts.timeline(told, judged, width) for width in (WIDE, NARROW)],
            traffic=[chart for width in (WIDE, NARROW) if (chart := charts.traffic(told, width))],
            machine=json.dumps(verdict_json(judged), indent=2),
        )
    )


def tiles(verdict: Verdict) -> list[Tile]:
    """What was measured, one tile each; nothing that was simulated is called met."""
    found = [*_clock_tiles(verdict), *_count_tiles(verdict)]
    if verdict.fault == "rehearsal":
        found = [tile for tile in found if tile.label in REHEARSED]
    return [replace(tile, state="unknown") for tile in found] if verdict.simulated else found


def _clock_tiles(verdict: Verdict) -> list[Tile]:
    rto, rpo = verdict.rto, verdict.rpo
    back = Tile("users back", words.measured(rto.measured_s), f"promised {words.seconds(rto.promise_s)}")
    lost = Tile("oldest lost write", words.measured(rpo.measured_s), f"promised {words.seconds(rpo.promise_s)}")
    again_s = verdict.reprotected_s
    return [
        replace(back, state=_within(rto.measured_s, rto.promise_s)),
        replace(lost, state=_within(rpo.measured_s, rpo.promise_s)),
        Tile(
            "protected again",
            words.measured(again_s),
            "a verified copy elsewhere",
            "unknown" if again_s is None else "met",
        ),
    ]


def _count_tiles(verdict: Verdict) -> list[Tile]:
    media, down, fence, calls = verdict.media, verdict.takedowns, verdict.fence, verdict.blackhole
    came = verdict.newcomers
    wrong = None if media.missing is None or media.corrupt is None else media.missing + media.corrupt
    lost = words.joined(calls.vendors) or "the lost"
    told = [
        Tile(
            "newcomers missing",
            words.counted(came.missing),
            f"of {words.counted(came.told)} told that they are in",
            _zero(came.missing, came.told),
        )
    ]
    return [
        *(told if came.told else []),
        Tile(f"calls to {lost}", words.counted(calls.calls), "promised 0", _zero(calls.calls)),
        Tile(
            "pictures missing",
            words.counted(wrong),
            f"of {words.counted(media.objects)} looked at",
            _zero(wrong, media.objects),
        ),
        Tile(
            "takedowns undone",
            words.counted(down.resurrected),
            f"of {words.counted(down.issued)} issued",
            _zero(down.resurrected, down.issued),
        ),
        Tile(
            "split-brain writes",
            words.counted(fence.accepted),
            f"of {words.counted(fence.attempts)} tried at the old site",
            _zero(fence.accepted, fence.attempts),
        ),
    ]


def happened(told: Story) -> str:
    """The fault in a sentence."""
    lost = words.joined(told.lost_vendors) or told.source
    said = FAULTS.get(told.fault, "The fault was not named")
    went = "went on serving" if told.target == told.source else "took over"
    return f"{said.format(lost=lost)}; {told.target} {went}."


def again(told: Story) -> str:
    """The command that repeats this drill."""
    if told.fault == "rehearsal":
        return f"resilience rehearse --to {told.started.get('target')}"
    parts = ["resilience drill --simulate" if told.started.get("simulated") else "resilience drill"]
    for option in ("size", "fault", "standby", "durability", "to", "seed", "newcomers"):
        value = told.started.get("target" if option == "to" else option)
        if isinstance(value, str | int) and value != "":
            parts.append(f"--{option} {value}")
    lost = told.started.get("lost")
    parts += [f"--lost {vendor}" for vendor in lost] if isinstance(lost, list | tuple) else []
    return " ".join(parts)


def _within(value: float | None, promised: float | None) -> str:
    if value is None or promised is None:
        return "unknown"
    return "met" if value <= promised else "missed"


def _zero(value: int | None, looked_at: int | None = 1) -> str:
    """Nothing found is good only where something was looked at."""
    if value:
        return "missed"
    return "met" if value == 0 and looked_at else "unknown"


def pages() -> Environment:
    """The templates; every value is escaped, and a name that is not there is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("resilience.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("seconds", "measured", "counted", "plural", "size", "moment", "clock", "joined", "headline", "outcome")
    pages.filters.update({name: getattr(words, name) for name in (*filters, "with_person")})
    return pages
