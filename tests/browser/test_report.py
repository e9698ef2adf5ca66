"""The report in Chromium: whole on a phone and on a desk, in the dark and on paper, and without any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from resilience import caches
from resilience.model import Event
from resilience.render import report_html
from tests.browser.conftest import PATIENCE_MS
from tests.journals import healthy, missed, simulated, unknown

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ALL = {"healthy": healthy, "missed": missed, "unknown": unknown, "simulated": simulated, "empty": list}
OVERFLOWS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CONTRAST = """() => {
  const channel = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = colour => { const [r, g, b] = rgb(colour).map(channel); return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + .05) / (Math.min(x, y) + .05); };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!c.endsWith(', 0)') && c !== 'transparent') return c; } return 'white'; };
  return [...document.querySelectorAll('h1, h2, p, li, td, th, dt, dd, .label, .value, .promise, .top span, .banner')]
    .filter(e => e.textContent.trim() && e.getClientRects().length)
    .map(e => [ratio(getComputedStyle(e).color, behind(e)), e.textContent.trim().slice(0, 40)])
    .filter(([found]) => found < 4.5);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all these tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(caches.chromium()), args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a report from a file, at a width, light or dark; nothing else may be asked for."""
    pages: list[Page] = []

    def open_page(events: list[Event], width: int = 1120, *, dark: bool = False) -> Page:
        file = tmp_path / "report.html"
        file.write_text(report_html(events), encoding="utf-8")
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", java_script_enabled=True
        )
        page.set_default_timeout(PATIENCE_MS)
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        assert said == []
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [320, 390, 768, 1120, 1600])
def test_nothing_is_wider_than_the_screen(opened: Callable[..., Page], name: str, width: int) -> None:
    """On every screen the page itself never scrolls sideways, and exactly one chart of each pair is shown."""
    page = opened(ALL[name](), width)
    assert page.evaluate(OVERFLOWS) == 0
    shown = page.locator("svg.chart:visible").count()
    assert shown == page.locator("svg.chart").count() / 2


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read(opened: Callable[..., Page], name: str, *, dark: bool) -> None:
    """Every text has a contrast of at least 4.5 to 1, in the light and in the dark."""
    assert opened(ALL[name](), dark=dark).evaluate(CONTRAST) == []


def test_the_verdict_is_the_first_thing_seen(opened: Callable[..., Page]) -> None:
    """Word and sentence are on the first screen of a phone."""
    page = opened(missed(), 390)
    box = page.locator("header .said").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 844
    assert page.locator("h1").inner_text().strip() == "Missed"


def test_words_in_charts_do_not_lie_on_each_other(opened: Callable[..., Page]) -> None:
    """No two words of a chart overlap by more than a hair, on a phone and on a desk."""
    for width in (390, 1120):
        for events in (healthy(), missed()):
            texts = opened(events, width).locator("svg.chart:visible text").all()
            boxes = [(t.text_content(), t.bounding_box()) for t in texts]
            for i, (one, a) in enumerate(boxes):
                for other, b in boxes[i + 1 :]:
                    assert a is not None
                    assert b is not None
                    across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
                    down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
                    assert across <= 1 or down <= 6, f"{one!r} lies on {other!r} at {width}"


def test_simulated_is_seen_wherever_the_page_is_scrolled(opened: Callable[..., Page]) -> None:
    """The watermark stays on the screen at the top, in the middle and at the end."""
    page = opened(simulated())
    for share in (0, 0.5, 1):
        page.evaluate(f"window.scrollTo(0, document.documentElement.scrollHeight * {share})")
        box = page.locator(".watermark span").bounding_box()
        assert box is not None
        assert box["y"] < 900
        assert box["y"] + box["height"] > 0


def test_on_paper_nothing_is_cut_off(opened: Callable[..., Page]) -> None:
    """In print every table is as long as its rows, and the watermark is repeated on each page."""
    page = opened(simulated())
    page.emulate_media(media="print")
    cut = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    assert page.evaluate(cut) == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.watermark')).position") == "fixed"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_keyboard_reaches_every_long_table(opened: Callable[..., Page]) -> None:
    """What scrolls can be focused and has a name."""
    page = opened(healthy())
    for table in page.locator(".scroll").all():
        assert table.get_attribute("tabindex") == "0"
        assert table.get_attribute("aria-label")
