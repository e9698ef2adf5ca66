"""The report: one page that needs nothing else, says everything, and believes nothing it is told."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings

from resilience.judge import judge
from resilience.model import Event
from resilience.render import charts, report_html
from resilience.render.story import story
from tests.journals import DAY, changed, healthy, journal, missed, simulated, unknown, without
from tests.strange import journals

ALL = {"healthy": healthy, "missed": missed, "unknown": unknown, "simulated": simulated, "empty": list}
LOADING = {"src", "srcset", "poster", "action", "formaction", "background", "data"}


class Page(HTMLParser):
    """A page taken apart: its elements, their attributes and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one element."""
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one element that has no content."""
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Every element is closed where it was opened; void ones never are."""
        while self.open[-1] in {"meta", "link", "br"}:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words, but not the style sheet."""
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All words with single spaces."""
        return " ".join(" ".join(self.text).split())


@pytest.fixture(params=ALL)
def events(request: pytest.FixtureRequest) -> list[Event]:
    """Each kind of journal."""
    return list(ALL[request.param]())


def test_the_page_needs_nothing_else(events: list[Event]) -> None:
    """No script, no frame, nothing loaded, and a policy that would stop it."""
    html = report_html(events)
    page = Page(html)
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object", "embed", "img", "form"}
    for _, attributes in page.elements:
        assert not attributes.keys() & LOADING
        assert attributes.get("href", "data:,") == "data:,"
        assert not [key for key in attributes if key.startswith("on")]
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert html.count("url(") == html.count("url(#hatch)")


def test_the_page_is_well_formed(events: list[Event]) -> None:
    """Elements nest, ids are there once, and what is referred to is there."""
    page = Page(report_html(events))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert not [name for name, times in ids.items() if times > 1]
    for _, attributes in page.elements:
        for name in attributes.get("aria-labelledby", "").split():
            assert name in ids


def test_every_picture_says_in_words_what_it_shows(events: list[Event]) -> None:
    """Each chart is one image with a title and a description; drawings without meaning are hidden."""
    html = report_html(events)
    start = 0
    while (start := html.find("<svg", start)) >= 0:
        picture = ET.fromstring(html[start : html.index("</svg>", start) + 6])  # noqa: S314 - our own page
        start += 4
        if picture.get("aria-hidden") == "true":
            continue
        assert picture.get("role") == "img"
        assert picture.findtext("title")
        assert picture.findtext("desc")


def test_the_verdict_comes_first() -> None:
    """The first heading is the verdict, the sentence after it says back when and lost how much."""
    words = Page(report_html(healthy())).words
    assert words.index("Met Back in 71.1 s, promised 90 s.") < words.index("From the fault to the users being back")


def test_a_miss_says_why() -> None:
    """Every sentence of the judge is on the page."""
    words = Page(report_html(missed())).words
    for why in judge(missed()).why:
        assert why in words


def test_lost_writes_are_listed_one_by_one() -> None:
    """Each lost write with its id, its time and how long before the fault it was acknowledged."""
    words = Page(report_html(healthy())).words
    for number in range(792, 800):
        assert f"w-000{number}" in words
    assert "0.377 s" in words


def test_nothing_lost_is_said_only_when_proven() -> None:
    """`Nothing` needs each write to have been looked for."""
    assert "Nothing: all 800 acknowledged writes were found." in Page(report_html(journal(lost_s=0))).words
    unproven = Page(report_html(changed(journal(lost_s=0), "writes-checked", unchecked=["w-000001"]))).words
    assert "Nothing: all" not in unproven
    assert "Not known: no missing write was found" in unproven


def test_calls_to_the_lost_vendor_are_named() -> None:
    """A proven 0, an incomplete count and calls are three different sentences."""
    call = {"from": "operator", "vendor": "acorn", "address": "198.18.1.2", "port": 80, "attempts": 3}
    assert "Nobody called acorn: 0 attempts" in Page(report_html(healthy())).words
    assert "Whether a lost vendor was called is not known" in Page(report_html(unknown())).words
    called = Page(report_html(changed(healthy(), "blackhole", calls=[call]))).words
    assert "A vendor that was lost was called 3 times." in called
    assert "operator acorn 198.18.1.2:80 3" in called


def test_simulated_is_said_on_every_section_and_every_page() -> None:
    """A watermark that print repeats, a banner, a mark at each heading, and no part that is called met."""
    html = report_html(simulated())
    page = Page(html)
    headings = sum(1 for tag, _ in page.elements if tag == "h2")
    assert sum(1 for _, attributes in page.elements if attributes.get("class") == "chip") == headings
    assert 'class="watermark"' in html
    assert "<title>SIMULATED" in html
    assert "met" not in [attributes.get("class") for _, attributes in page.elements]
    assert "SIMULATED" not in report_html(healthy())


def test_a_failed_step_is_shown_with_its_error() -> None:
    """A failover that stopped shows where, and what was said."""
    failed = Event(DAY + 40, "step-failed", {"id": "data.restore.birch", "what": "elm answered 403", "why": "closed"})
    events = [e for e in healthy() if e.data.get("action") != "restore" or e.kind != "step-done"]
    at = next(i for i, e in enumerate(events) if e.at > DAY + 40)
    words = Page(report_html([*events[:at], failed, *events[at:]])).words
    assert "Failed: elm answered 403 closed" in words


def test_what_a_drill_left_behind_is_said() -> None:
    """Teardown that could not remove something is no secret."""
    assert (
        "Left behind at teardown: rsl-net."
        in Page(report_html(changed(healthy(), "torn-down", left=["rsl-net"]))).words
    )


def test_every_text_is_escaped() -> None:
    """No journal can put an element or an attribute into the page."""
    evil = "\"'><script>alert(1)</script>&amp;"
    page = Page(report_html([Event(e.at, e.kind, _poisoned(e.data, evil)) for e in healthy()]))
    assert "script" not in {tag for tag, _ in page.elements}
    assert "<script>alert(1)</script>" in page.words


def _poisoned(value: Any, evil: str) -> Any:
    """The same facts with something evil behind every text that is no key word."""
    if isinstance(value, dict):
        return {k: v if k in {"phase", "by", "kind", "action"} else _poisoned(v, evil) for k, v in value.items()}
    if isinstance(value, list):
        return [_poisoned(v, evil) for v in value]
    return value + evil if isinstance(value, str) else value


def test_a_journal_without_users_or_plan_still_makes_a_page() -> None:
    """What was not kept is said to be missing."""
    events = without(without(without(healthy(), "requests"), "plan"), "step-started")
    words = Page(report_html(events)).words
    assert "The journal holds no requests of users." in words
    assert "The journal holds no plan." in words


@settings(max_examples=40)
@example([Event(-1.7e308, "fault", {}), Event(1.0, "step-done", {"id": "data.a.b", "action": "a", "phase": "data"})])
@given(journals)
def test_any_journal_makes_a_page(events: list[Event]) -> None:
    """A strange journal is told as far as it can be, and never met."""
    Page(report_html(events))


@pytest.mark.parametrize("width", [960, 380])
def test_charts_stay_inside_their_picture(width: int) -> None:
    """Bars and lines lie between the edges, and the five parts touch each other in order."""
    for events in (healthy(), missed()):
        told, verdict = story(events), judge(events)
        pictures = [charts.timeline(told, verdict, width), charts.traffic(told, width)]
        for chart in pictures:
            assert chart is not None
            for bar in chart.bars:
                assert bar.x >= 0
                assert bar.x + bar.width <= width
                assert bar.y + bar.height <= chart.height
        parts = pictures[0].bars[:5] if pictures[0] else ()
        for left, right in pairwise(parts):
            assert left.x + left.width == pytest.approx(right.x, abs=0.02)


def test_the_gap_is_the_silence_that_users_saw() -> None:
    """From the last answer before the fault to the first one after it."""
    gap = story(healthy()).gap
    assert gap is not None
    assert gap[0] == pytest.approx(0, abs=0.1)
    assert gap[1] == pytest.approx(71.4, abs=0.1)


def test_a_long_drill_is_drawn_in_a_bounded_number_of_bars() -> None:
    """Hours of requests make a chart of the same size, with the same requests in it."""
    requests = [[DAY + t, "home", t % 7 > 0, 5.0, "200"] for t in range(-10_000, 10_000)]
    told = story([*without(healthy(), "requests"), Event(DAY + 10_000, "requests", {"requests": requests})])
    chart = charts.traffic(told, 960)
    assert chart is not None
    assert len(chart.bars) < 600
    assert "17,143 requests were answered and 2,857 failed." in chart.description


def test_what_ship_sent_before_the_set_changed_is_told() -> None:
    """It is no call to a dead vendor, and it is not kept quiet either."""
    knock = {"from": "acorn-1", "vendor": "elm", "address": "198.18.5.3", "port": 80, "attempts": 63}
    used = {**knock, "used": 5}
    events = [*changed(healthy(), "blackhole", used=[used]), Event(DAY + 12, "ship-knocks", {"calls": [knock]})]
    words = Page(report_html(events, judge(events))).words
    assert "acorn-1 called elm 63 times" in words
    assert "acorn-1 sent 5 packets with data to elm" in words


def test_the_command_that_repeats_a_drill_names_the_vendors() -> None:
    """A drill of a pair is another one than that of the primary's vendor."""
    words = Page(report_html(changed(healthy(), "drill-started", lost=["acorn", "dover"]))).words
    assert "--lost acorn --lost dover" in words
