"""Every page of plaza, looked at by axe on a phone: nothing keeps out people who can't see well, or use no mouse, and nothing sticks out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page
from starlette.routing import Match

from resilience import caches
from resilience.plaza import web
from tests.browser.conftest import PATIENCE_MS
from tests.plaza.harness import PASSWORD, Site, picture
from tests.plaza.pages import browser

pytestmark = pytest.mark.browser

NO_PAGES = {
    "/manifest.webmanifest", "/sw.js", "/endpoints.json", "/endpoints.pub", "/public.rss", "/@{name}.rss"
}  # fmt: skip
"""What programs read."""
ELSEWHERE = {"/confirm/{secret}", "/login/code"}
"""Pages with one form, seen only on the way: `test_the_pages_on_the_way`."""
GUESTS = [
    "/", "/public", "/login", "/login/recover", "/register", "/about", "/endpoints", "/offline", "/search?q=words",
    "/no/such/page",
]  # fmt: skip
OWN = [
    "/", "/notifications", "/follows", "/liked", "/bookmarks", "/search?q=words", "/settings", "/settings/people",
    "/settings/security", "/settings/messages", "/settings/delete", "/decisions",
]  # fmt: skip


ALLOWED = {("/waiting", "meta-refresh")}
"""One's place in line looks again by itself, since it has to work without JavaScript; nothing is typed there."""


STICKS_OUT = """innerWidth >= document.documentElement.scrollWidth ? null :
[...document.querySelectorAll('body *:not(.scroll *)')].filter(one => one.getBoundingClientRect().right > innerWidth).slice(0, 3).map(one => one.outerHTML.slice(0, 120))"""
WIDE = "W" * 120
"""A word that is wider than a phone, and has nowhere to break."""


class Looker:
    """Opens pages, runs axe on each, in the light and in the dark, and remembers which it saw."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.script = caches.axe().read_text()
        self.seen: set[str] = set()
        self.found: list[str] = []

    def open(self, *paths: str) -> None:
        """Go to each, and look."""
        for path in paths:
            self.page.goto(path)
            self.look()

    def press(self, button: str) -> None:
        """Press it, and look at the page that it leads to."""
        with self.page.expect_navigation():
            self.page.get_by_role("main").get_by_role("button", name=button).click()
        self.look()

    def look(self) -> None:
        """Look at the page that is open; again, where it loaded itself anew meanwhile, as one's place in line does."""
        try:
            self._look()
        except Error as error:
            if "Execution context was destroyed" not in error.message:
                raise
            self._look()

    def _look(self) -> None:
        """Once its style is there."""
        self.page.wait_for_load_state()
        path = re.sub(r"^https?://[^/]+|[?#].*$", "", self.page.url)
        scope: dict[str, Any] = {"type": "http", "path": path, "method": "GET", "headers": []}
        route = next((route for route in web.ROUTES if route.matches(scope)[0] is Match.FULL), None)
        self.seen.add(route.path if route else path)
        self.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
        if wide := self.page.evaluate(STICKS_OUT):
            self.found.append(f"{path}: sticks out at the side: {wide}")
        self.page.evaluate(self.script)
        for scheme, options in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
            self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            for rule in self.page.evaluate(f"axe.run({options}).then(result => result.violations)"):
                if (path, rule["id"]) in ALLOWED:
                    continue
                where = [node["html"][:120] for node in rule["nodes"][:3]]
                self.found.append(f"{path} ({scheme}): {rule['id']}, {rule['help']}: {where}")


@pytest.fixture
def looking(chromium: Browser, plaza: Site) -> Iterator[Callable[[str], Looker]]:
    """Looks at pages through somebody's eyes, on a phone; violations fail the test."""
    made: list[Looker] = []

    def make(name: str = "") -> Looker:
        context = chromium.new_context(viewport={"width": 390, "height": 844}, base_url=plaza.base)
        if name:
            with closing(browser(plaza, name)) as inside:
                session = inside.cookies["plaza_session"]
            context.add_cookies([{"name": "plaza_session", "value": session, "url": plaza.base}])
        made.append(Looker(context))
        return made[-1]

    yield make
    for looker in made:
        looker.page.context.close()
    found = [problem for looker in made for problem in looker.found]
    assert not found, "\n".join(found)


def test_no_page_keeps_anybody_out(looking: Callable[[str], Looker], plaza: Site, name: str) -> None:
    """All pages, for a guest, somebody inside and a moderator; a page that a route serves and this forgets fails too."""
    name = f"{name}{WIDE}"[:29]
    author, moderator = plaza.client(name), plaza.moderator(f"{name}m")
    media = author.media_post(picture(7), "image/jpeg", description=WIDE)
    post = author.status_post(f"Some words for @{name}m https://example.org/{WIDE}", media_ids=[media])
    author.status_update(post.id, f"Some words, changed: {WIDE}", media_ids=[media])
    reply = moderator.status_post(f"An answer: {WIDE}", in_reply_to_id=post.id)
    author.status_post("Under a warning", spoiler_text=f"Careful {WIDE}")
    author.account_update_credentials(display_name=WIDE[:60], note=WIDE, fields=[(WIDE[:40], WIDE)])
    author.account_follow(moderator.me())
    moderator.status_favourite(post.id)
    author.status_bookmark(reply.id)
    moderator.report(author.me(), status_ids=[post.id], comment=f"Look at this {WIDE}")
    letter = plaza.run(
        "add-notice", "--vendor", WIDE[:60], "--reference", name, "--due", "2030-01-01T00:00:00Z", str(reply.id)
    )
    guest, inside, deciding = looking(""), looking(name), looking(f"{name}m")
    guest.open(*GUESTS, f"/@{name}", f"/@{name}/{post.id}")
    with plaza.http() as http:
        form = {"client_name": "Pocket", "redirect_uris": f"{plaza.base}/about", "scopes": "read write"}
        app = http.post("/api/v1/apps", data=form).json()
    ask = f"/oauth/authorize?response_type=code&client_id={app['client_id']}&redirect_uri={plaza.base}/about&scope=read"
    steps = [f"/posts/{post.id}/{step}" for step in ("edit", "history", "delete")]
    inside.open(*OWN, *steps, f"/posts/{reply.id}/report", f"/@{name}", f"/@{name}/{post.id}", ask)
    queue = ["/moderation", "/moderation/letters", f"/moderation/letters/{letter['notice']}", "/moderation/appeals"]
    deciding.open(*queue, "/moderation/numbers", f"/moderation/posts/{post.id}/takedown", f"/@{name}")
    wait_in_line(plaza, guest, name)
    pages = {route.path for route in web.ROUTES if "GET" in (route.methods or ())}
    assert pages - guest.seen - inside.seen - deciding.seen - NO_PAGES == ELSEWHERE


def wait_in_line(plaza: Site, guest: Looker, name: str) -> None:
    """Look at one's place in line: before a letter was answered, and when the name went to somebody else."""
    guest.page.context.add_cookies([{"name": "plaza_place", "value": name, "url": plaza.base}])
    ticket = hashlib.sha256(name.encode()).digest()
    plaza.sql(
        "INSERT INTO signups (ticket_hash, username, state, password_hash) VALUES (%s, %s, 'unconfirmed', 'x')",
        ticket,
        f"{name}w",
    )
    guest.open("/waiting")
    plaza.sql("UPDATE signups SET state = 'refused', password_hash = NULL WHERE ticket_hash = %s", ticket)
    guest.open("/waiting")


def test_the_pages_on_the_way(looking: Callable[[str], Looker], plaza: Site, name: str) -> None:
    """Codes, a second factor, a wrong password, a suspended person, and the button that a letter leads to."""
    author, moderator = plaza.client(name), plaza.moderator(f"{name}m")
    inside = looking(name)
    inside.page.goto("/settings/security")
    inside.page.locator("#password3").fill(PASSWORD)
    inside.press("Make new codes")
    inside.page.goto("/settings/security")
    inside.page.locator("#password2").fill(PASSWORD)
    inside.press("Set it up")
    guest = looking("")
    guest.page.goto("/login")
    guest.page.get_by_label("Username").fill(name)
    guest.page.get_by_label("Password").fill("not the password")
    guest.press("Log in")
    with plaza.http(moderator) as http:
        suspend = {"type": "suspend", "text": "not kind"}
        assert http.post(f"/api/v1/admin/accounts/{author.me().id}/action", data=suspend).status_code == 200
    looking(name).open("/decisions")
    plaza.sql(
        "INSERT INTO signups (ticket_hash, username, state, password_hash, confirm_hash) "
        "VALUES ('x', %s, 'unconfirmed', 'x', %s)",
        f"{name}w",
        hashlib.sha256(name.encode()).digest(),
    )
    guest.open(f"/confirm/{name}")
