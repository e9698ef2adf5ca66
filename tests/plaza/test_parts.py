"""Plaza's pure parts, without a database."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta, timezone
from functools import partial
from html.parser import HTMLParser

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.plaza.access import Caller, parse_scopes, within
from resilience.plaza.accounts import check_registration
from resilience.plaza.erasure import Eraser, Replayed
from resilience.plaza.errors import Refused
from resilience.plaza.gate import Gate
from resilience.plaza.ids import Ids, parse_id
from resilience.plaza.ledger import canonical
from resilience.plaza.notifications import Notification, in_groups
from resilience.plaza.notify import FOLLOW
from resilience.plaza.paging import Page, link_header, read_page
from resilience.plaza.passwords import PROFILES
from resilience.plaza.ratelimit import Limit
from resilience.plaza.tasks import Tasks
from resilience.plaza.text import to_html
from resilience.plaza.web.visitor import local_path

ALLOWED = {"p", "br", "a"}


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag with its attributes."""
        self.tags.append((tag, dict(attrs)))


@given(st.text() | st.from_regex(r"https?://[\x20-\x7e]{1,60}"))
def test_whatever_people_write_becomes_harmless_html(text: str) -> None:
    """Paragraphs, breaks and links; a link goes to http or https and has no attribute but ours."""
    for tag, attributes in Tags(to_html(text)).tags:
        assert tag in ALLOWED
        if tag == "a":
            assert set(attributes) == {"href", "rel", "target"}
            assert re.match(r"https?://", attributes["href"] or "")
            assert attributes["rel"] == "nofollow noopener noreferrer"
        else:
            assert attributes == {}


def test_links_end_where_people_mean_them_to() -> None:
    """Punctuation after an address isn't part of it; long ones are shown short."""
    shown = to_html("See (https://example.org/a_b?c=d&e=f), please.")
    assert 'href="https://example.org/a_b?c=d&amp;e=f"' in shown
    assert shown.endswith("</a>), please.</p>")
    assert "…</a>" in to_html("https://example.org/" + "x" * 60)


@given(st.integers(1, 2000))
def test_ids_are_given_once_and_in_order(count: int) -> None:
    """However many in one millisecond: what was made later, such as a post's second version, sorts later."""
    ids = Ids()
    made = [ids.new() for _ in range(count)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)


@given(st.text(max_size=25))
def test_ids_from_clients_are_numbers_or_not_found(text: str) -> None:
    """Whatever a client sends as an id."""
    try:
        value = parse_id(text)
    except Refused as error:
        assert error.status == 404  # noqa: PT017 (either outcome is right)
    else:
        assert 0 <= value < 1 << 63


@given(st.dictionaries(st.sampled_from(["limit", "max_id", "min_id", "since_id"]), st.text(max_size=21)))
def test_pages_are_bounded(params: dict[str, str]) -> None:
    """Any parameters give a page of 1 to 40, or are refused."""
    try:
        page = read_page(params)
    except Refused as error:
        assert error.status in (404, 422)  # noqa: PT017 (either outcome is right)
    else:
        assert 1 <= page.limit <= 40


def test_link_headers_keep_what_was_asked_for() -> None:
    """Other parameters stay; the last page has no next; an empty one no links."""
    page = Page(limit=2)
    link = link_header("http://x/api", {"only_media": "true", "max_id": "9", "limit": "2"}, [5, 3], page)
    assert link == (
        '<http://x/api?only_media=true&limit=2&max_id=3>; rel="next", '
        '<http://x/api?only_media=true&limit=2&min_id=5>; rel="prev"'
    )
    assert 'rel="next"' not in link_header("http://x/api", {}, [5], page)
    assert link_header("http://x/api", {}, [], page) == ""


def test_who_follows_since_one_day_is_grouped_by_utcs_day() -> None:
    """As the group is looked up; not by the day of the database's own time zone."""
    evening = datetime(2026, 1, 2, 13, tzinfo=timezone(timedelta(hours=14)))
    told = Notification(1, FOLLOW, None, None, evening)  # type: ignore[arg-type]
    assert list(in_groups([told])) == ["follow-20260101"]


class Stumbling(Eraser):
    """One whose first replay breaks in a way that nobody thought of."""

    def __init__(self) -> None:
        self.tries = 0

    def replay(self) -> Replayed:
        """Break once."""
        self.tries += 1
        if self.tries == 1:
            raise ValueError("what nobody thought of")
        return Replayed(0, 0, "", 0)


def test_a_replay_that_breaks_is_begun_again() -> None:
    """The gate stays closed while it breaks, and opens by itself once one went through."""

    async def opened() -> int:
        gate, tasks = Gate(), Tasks()
        tasks.start("gate", partial(gate.keep, Stumbling()))
        async with asyncio.timeout(300):
            while gate.why_closed is not None:  # noqa: ASYNC110 (the gate tells nobody; it is asked)
                await asyncio.sleep(0.01)
        await tasks.end()
        return tasks.broken["gate"]

    assert asyncio.run(opened()) == 1


def test_a_limit_forgets_with_time() -> None:
    """Three in ten seconds; the fourth waits until the first is ten seconds old."""
    now = [0.0]
    limit = Limit(3, 10, clock=lambda: now[0])
    for _ in range(3):
        limit.check("key")
        limit.count("key")
        now[0] += 1
    with pytest.raises(Refused, match="Try again in 7 seconds"):
        limit.check("key")
    limit.check("other key")
    now[0] = 10.5
    limit.check("key")


@pytest.mark.parametrize(
    ("granted", "needed", "allowed"),
    [
        (("read",), "read:statuses", True),
        (("read:statuses",), "read:statuses", True),
        (("read",), "write:statuses", False),
        (("write:media",), "write:statuses", False),
        (("follow",), "write:follows", True),
        (("follow",), "write:statuses", False),
        (("admin:write",), "admin:write:reports", True),
        (("write",), "admin:write:reports", False),
        (("admin:write:accounts",), "admin:write:reports", False),
    ],
)
def test_scopes_cover_what_is_below_them(granted: tuple[str, ...], needed: str, *, allowed: bool) -> None:
    """Broad scopes cover narrow ones of the same kind, nothing else."""
    assert Caller(None, granted, None).may(needed) is allowed  # type: ignore[arg-type]


def test_apps_get_no_more_than_they_registered_for() -> None:
    """Narrower is fine, wider isn't, and unknown scopes don't exist."""
    assert within(("read:statuses", "write"), ("read", "write"))
    assert not within(("read", "admin:read"), ("read", "write"))
    assert parse_scopes("read  write+follow read") == ("read", "write", "follow")
    with pytest.raises(Refused, match="doesn't exist"):
        parse_scopes("everything")


@pytest.mark.parametrize("goal", ["/", "/@ada/12", "/oauth/authorize?client_id=x&scope=read"])
def test_local_paths_stay(goal: str) -> None:
    """Paths on this site are kept as they are."""
    assert local_path(goal) == goal


@given(st.text())
def test_other_goals_lead_home(text: str) -> None:
    """Nothing that a browser takes for another site passes."""
    path = local_path(text)
    assert path == "/" or (path[0] == "/" and path[1:2] not in ("/", "\\") and "\\" not in path)


def test_registration_checks() -> None:
    """A good one has no problems; each bad field has one."""
    assert check_registration("ada_1815", "long enough", "a@b.test", agreement=True) == {}
    assert set(check_registration("", "", "x", agreement=False)) == {"username", "password", "email", "agreement"}
    assert check_registration("a b", "x" * 257, None, agreement=True).keys() == {"username", "password"}
    assert check_registration("ünïcode", "long enough", None, agreement=True).keys() == {"username"}


def test_passwords_are_hashed_as_owasp_says() -> None:
    """argon2id with 19 MiB, two passes, one lane, unless a test asks for less."""
    owasp = PROFILES["owasp"]
    assert (owasp.type, owasp.memory_cost, owasp.time_cost, owasp.parallelism) == (argon2.Type.ID, 19456, 2, 1)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text())))
def test_canonical_json_has_one_form(value: dict[str, object]) -> None:
    """The order in which a dictionary was filled doesn't matter."""
    assert canonical(value) == canonical(dict(reversed(list(value.items()))))
