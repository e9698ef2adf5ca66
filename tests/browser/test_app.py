"""Plaza as an app without a store: installed, cut off, and found again by the signed list of endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from resilience.plaza import endpoints
from tests.browser.conftest import PATIENCE_MS
from tests.plaza.harness import Postgres, Site
from tests.plaza.proxy import proxied
from tests.plaza.test_endpoints import static_host

pytestmark = pytest.mark.browser


class Fleet:
    """A site that will be lost, and a static host at another vendor that keeps the list."""

    def __init__(self, folder: Path, postgres: Postgres, template: str, mirror: str) -> None:
        self.folder = folder
        self.key = folder / "endpoints.key"
        self.file = folder / "endpoints.json"
        self.mirror = mirror
        endpoints.main(["keygen", "--key", str(self.key)])
        self.site = Site(folder / "site", postgres, postgres.new_database(template))
        self._proxy = ExitStack()
        base = self._proxy.enter_context(proxied(self.site.folder, self.site.port))
        self.site.base = self.site.settings["PUBLIC_URL"] = base
        more = {"ENDPOINTS": str(self.file), "ENDPOINTS_KEY": str(self.key.with_suffix(".pub"))}
        self.site.settings |= more
        self.sign("All is well.", [self.site.base])
        self.mirrored(self.file)

    def sign(self, notice: str, where: list[str], *more: str) -> None:
        """The next version."""
        lists = [word for url in where for word in ("--endpoint", url)]
        known = ["--key", str(self.key), "--out", str(self.file), "--mirror", f"{self.mirror}/list.json"]
        assert endpoints.main(["sign", *known, *lists, "--notice", notice, *more]) == 0

    def lose(self) -> None:
        """The host is gone: the app, and the proxy in front of it."""
        self._proxy.close()
        self.site.end()

    def mirrored(self, file: Path) -> None:
        """Put a file where the mirror serves it."""
        (self.folder / "mirror/list.json").write_text(file.read_text())


@pytest.fixture
def fleet(tmp_path: Path, postgres: Postgres, template: str) -> Iterator[Fleet]:
    """Up, behind the proxy that hosts have, with one list signed."""
    with static_host(tmp_path / "mirror") as mirror:
        made = Fleet(tmp_path, postgres, template, mirror)
        try:
            made.site.start()
            yield made
        finally:
            made.lose()


def install(chromium: Browser, site: Site) -> Page:
    """Open the site, and come back with its worker in charge."""
    page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(site.base + "/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.goto(site.base + "/about")
    assert page.evaluate("navigator.serviceWorker.controller !== null")
    return page


def leads(page: Page, lost: str, there: str) -> None:
    """Open the lost site and be led to the other one; again, where whoever was asked took more than the page's five seconds."""
    for _ in range(4):
        page.goto(lost, wait_until="commit")  # it may go on before it is loaded
        with suppress(PlaywrightTimeout):
            page.wait_for_url(re.compile(re.escape(there)), timeout=PATIENCE_MS / 4)
            return
    pytest.fail(f"{lost} leads nowhere")


def test_it_can_be_installed(chromium: Browser, fleet: Fleet) -> None:
    """Chromium finds nothing that is missing for an app on the home screen."""
    page = install(chromium, fleet.site)
    session = page.context.new_cdp_session(page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert '"display":"standalone"' in manifest["data"]
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in found} <= {"in-incognito"}
    page.context.close()


def test_cut_off_and_found_again_at_another_host(chromium: Browser, fleet: Fleet, plaza: Site) -> None:
    """The site is gone: the last signed words; a forged list is not followed, a signed one is, and an old one never again."""
    page = install(chromium, fleet.site)
    first = fleet.folder / "first.json"
    first.write_text(fleet.file.read_text())
    fleet.lose()
    page.goto(fleet.site.base + "/public")
    expect(page.get_by_role("heading", name="Plaza can't be reached")).to_be_visible()
    expect(page.get_by_text("All is well.")).to_be_visible()
    forged = Fleet.__new__(Fleet)
    forged.folder, forged.mirror = fleet.folder, fleet.mirror
    forged.key, forged.file = fleet.folder / "forged.key", fleet.folder / "forged.json"
    endpoints.main(["keygen", "--key", str(forged.key)])
    for _ in range(9):
        forged.sign("Come here, all of you!", [plaza.base])
    forged.mirrored(forged.file)
    page.reload()
    expect(page.get_by_text("version 1.")).to_be_visible()
    expect(page.get_by_text("All is well.")).to_be_visible()
    fleet.sign("We have moved.", [fleet.site.base, plaza.base])
    fleet.mirrored(fleet.file)
    leads(page, fleet.site.base + "/public", plaza.base)
    expect(page.get_by_role("heading", name="A small place to talk.")).to_be_visible()
    fleet.mirrored(first)
    leads(page, fleet.site.base + "/", plaza.base)
    page.context.close()


def test_a_list_that_ran_out_is_shown_and_not_followed(chromium: Browser, fleet: Fleet, plaza: Site) -> None:
    """Expired: the words, a warning, a link for whoever wants it, and no move by itself."""
    page = install(chromium, fleet.site)
    fleet.sign("We have moved.", [plaza.base], "--days", "-1")
    fleet.mirrored(fleet.file)
    fleet.lose()
    page.goto(fleet.site.base + "/public")
    expect(page.get_by_text("out of date since")).to_be_visible()
    expect(page.get_by_role("link", name=plaza.base)).to_be_visible()
    assert page.url.startswith(fleet.site.base)
    page.context.close()


def test_a_browser_that_cannot_check_follows_nothing(chromium: Browser, fleet: Fleet, plaza: Site) -> None:
    """Without Ed25519 the site's own words are shown as unchecked, and a mirror's list is not even asked for."""
    context = chromium.new_context()
    script = (Path(endpoints.__file__).parent / "static/sw.js").read_text()
    blind = script.replace('{ name: "Ed25519" }', '{ name: "No such algorithm" }')
    assert blind != script
    headers = {"Content-Type": "text/javascript", "Content-Security-Policy": "default-src 'none'; connect-src *"}
    context.route("**/sw.js", lambda route: route.fulfill(body=blind, headers=headers))
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(fleet.site.base + "/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.goto(fleet.site.base + "/about")
    fleet.sign("We have moved.", [plaza.base])
    fleet.mirrored(fleet.file)
    fleet.lose()
    page.goto(fleet.site.base + "/public")
    expect(page.get_by_text("can't check signatures")).to_be_visible()
    expect(page.get_by_text("All is well.")).to_be_visible()
    assert page.url.startswith(fleet.site.base)
    context.close()
