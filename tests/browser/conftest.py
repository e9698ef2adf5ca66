"""Chromium on a real plaza: phone and desktop, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from resilience import caches
from tests.plaza.harness import Postgres, Site, migrated, running_postgres
from tests.plaza.proxy import proxied

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NUMBERS = count(1)
PATIENCE_MS = 120_000
"""How long a page may take on a machine that is busy with other tests."""
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Device:
    """What somebody looks through."""

    label: str
    width: int
    height: int
    scripts: bool


DEVICES = [
    Device("phone", 390, 844, scripts=True),
    Device("phone-plain", 390, 844, scripts=False),
    Device("desktop", 1280, 900, scripts=True),
    Device("desktop-plain", 1280, 900, scripts=False),
]


ENOUGH = [DEVICES[0], DEVICES[3]]
"""For what has nothing to do with width or scripts: each of the four kinds once."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One Postgres for all plazas here."""
    with running_postgres() as found:
        yield found


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database that has been migrated and not been used."""
    return migrated(postgres)


@pytest.fixture(scope="session")
def plaza(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One plaza for all browsers, behind the proxy that hosts have."""
    site = Site(tmp_path_factory.mktemp("plaza"), postgres, postgres.new_database(template))
    with proxied(site.folder, site.port) as base:
        site.base = site.settings["PUBLIC_URL"] = base
        try:
            site.start()
            yield site
        finally:
            site.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, as set-up unpacked it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(caches.chromium()), args=ARGUMENTS, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@pytest.fixture(params=DEVICES, ids=lambda device: str(device.label))
def device(request: pytest.FixtureRequest) -> Device:
    """Each device in turn."""
    found: Device = request.param
    return found


@pytest.fixture
def open_page(chromium: Browser, device: Device, plaza: Site) -> Iterator[Callable[[], Page]]:
    """Opens a browser of one's own at plaza's front page; complaints of the browser fail the test."""
    contexts, complaints = [], []

    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "the server responded with" not in message.text:
            complaints.append(message.text)

    def make() -> Page:
        context = chromium.new_context(
            viewport={"width": device.width, "height": device.height},
            java_script_enabled=device.scripts,
            base_url=plaza.base,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/")
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def name() -> str:
    """A username that no other test has."""
    return f"visitor{next(NUMBERS)}"
