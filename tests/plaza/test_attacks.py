"""Attacks that plaza has to survive."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.plaza.harness import PASSWORD, Site, wait_until
from tests.plaza.pages import browser, form_token, guest, send

SCRIPT = "<script>alert(1)</script>"
PAYLOADS = (
    SCRIPT,
    "<img src=x onerror=alert(1)>",
    'https://x.test/"onmouseover="alert(1)',
    "javascript:alert(1)",
    "https://x.test/<svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
)


def test_scripts_in_posts_names_and_descriptions_stay_text(plaza: Site, name: str) -> None:
    """XSS: whatever people write, no page and no HTML in the API contains their markup."""
    api = plaza.client(name)
    api.account_update_credentials(display_name=SCRIPT, note=" ".join(PAYLOADS))
    post = api.status_post("\n".join(PAYLOADS), spoiler_text="<b>bold</b>")
    reader = plaza.client(f"{name}r")
    reader.report(api.me(), status_ids=[post], comment=SCRIPT)
    plaza.run("make-moderator", f"{name}r")
    client = browser(plaza, f"{name}r")
    pages = ["/public", f"/@{name}", f"/@{name}/{post.id}", f"/posts/{post.id}/report", "/moderation"]
    texts = [client.get(path).text for path in pages]
    assert all("alert(1)" in text for text in texts)
    for text in (*texts, post.content, api.me().note):
        for harmful in ("<script>alert", "<img src=x", "<svg/onload", '"onmouseover', "<b>bold", 'href="javascript'):
            assert harmful not in text
    assert "{{ 7 * 7 }}" in post.content


def test_pages_forbid_what_they_do_not_need(plaza: Site) -> None:
    """OWASP's headers on pages, API answers and errors alike; no inline script is allowed."""
    for path in ("/", "/api/v1/instance", "/nothing", "/login", "/static/plaza.css"):
        headers = httpx.get(plaza.base + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_cookies_are_closed_to_scripts_and_other_sites(plaza: Site, name: str) -> None:
    """HttpOnly, SameSite, Path; Secure comes with an https address."""
    plaza.client(name)
    answer = send(guest(plaza), "/login", {"username": name, "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=2592000"):
        assert part in cookie


def test_forms_from_elsewhere_are_refused(plaza: Site, name: str) -> None:
    """CSRF: no token, somebody else's token, a guest's token, or a cross-site request: 403, nothing done."""
    plaza.client(name)
    plaza.client(f"{name}x")
    client, other = browser(plaza, name), browser(plaza, f"{name}x")
    token = form_token(client, "/settings")
    for form in (
        {},
        {"token": "x"},
        {"token": form_token(other, "/settings")},
        {"token": form_token(guest(plaza), "/login")},
    ):
        for path in ("/posts", "/settings", "/logout", f"/@{name}x/follow", "/settings/delete"):
            assert client.post(path, data={"text": "forged", "password": PASSWORD, **form}).status_code == 403
    crossed = {"sec-fetch-site": "cross-site"}
    assert client.post("/posts", data={"text": "forged", "token": token}, headers=crossed).status_code == 403
    assert "forged" not in client.get("/public").text
    assert client.get("/settings").status_code == 200  # still logged in, still there


def test_logging_somebody_in_from_elsewhere_is_refused(plaza: Site, name: str) -> None:
    """Login CSRF: the form to log in has a token too."""
    plaza.client(name)
    answer = guest(plaza).post("/login", data={"username": name, "password": PASSWORD})
    assert answer.status_code == 403
    assert "plaza_session" not in answer.cookies


def test_cookies_alone_do_not_open_the_api(plaza: Site, name: str) -> None:
    """The API takes tokens only, so other sites can't use a browser's session."""
    plaza.client(name)
    client = browser(plaza, name)
    assert client.post("/api/v1/statuses", data={"status": "forged"}).status_code == 401


def test_a_planted_session_is_not_adopted(plaza: Site, name: str) -> None:
    """Session fixation: logging in gives a new session, whatever cookie came along."""
    plaza.client(name)
    client = guest(plaza)
    client.cookies.set("plaza_session", "planted")
    answer = send(client, "/login", {"username": name, "password": PASSWORD})
    assert answer.cookies["plaza_session"] != "planted"
    stolen = httpx.get(plaza.base + "/settings", cookies={"plaza_session": "planted"}, follow_redirects=False)
    assert stolen.status_code == 303


@pytest.mark.parametrize(
    "goal",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/\t/evil.test", "javascript:alert(1)"],
)
def test_logging_in_leads_nowhere_else(plaza: Site, name: str, goal: str) -> None:
    """Open redirect: `next` is a path here or nothing."""
    plaza.client(name)
    client = guest(plaza)
    form = {"username": name, "password": PASSWORD, "next": goal}
    answer = send(client, "/login", form)
    assert answer.headers["location"] == "/"


SQL = ("' OR '1'='1", "'; DROP TABLE accounts; --", '" OR ""="', "%", "\\", "1) OR (1=1", "\x00", "%s", "%(me)s")


@pytest.mark.parametrize("value", SQL)
def test_sql_in_every_place_is_only_text(plaza: Site, value: str) -> None:
    """SQL injection through addresses, forms, ids and keys: refused or taken as text, never a crash."""
    api = plaza.client(f"sql{SQL.index(value)}")
    with plaza.http(api) as http:
        answers = [
            http.get("/api/v1/accounts/lookup", params={"acct": value}),
            http.get("/api/v1/timelines/public", params={"max_id": value}),
            http.get("/api/v1/timelines/public", params={"limit": value}),
            http.get("/api/v1/accounts/relationships", params={"id[]": value}),
            http.get("/api/v1/statuses/" + value.replace("\x00", "%00")),
            http.post("/api/v1/statuses", data={"status": value or "x", "language": value}),
            http.patch("/api/v1/accounts/update_credentials", data={"note": value, "display_name": value}),
            http.post("/api/v1/apps", data={"client_name": value, "redirect_uris": "https://x.test/"}),
            http.post("/oauth/token", data={"grant_type": "password", "username": value, "client_id": value}),
        ]
    assert all(answer.status_code < 500 for answer in answers), [a.status_code for a in answers]
    assert plaza.sql("SELECT count(*) > 0 FROM accounts") == [(True,)]


def test_log_in_does_not_tell_who_exists(plaza: Site, name: str) -> None:
    """Enumeration: the same words and about the same time for a wrong name and a wrong password."""
    plaza.client(name)

    def attempt(username: str) -> tuple[str, float]:
        client = guest(plaza)
        token = form_token(client, "/login")
        began = time.perf_counter()
        answer = client.post("/login", data={"username": username, "password": "wrong guess", "token": token})
        return answer.text.replace(username, "?").replace(token, "?"), time.perf_counter() - began

    known, unknown = zip(*((attempt(name), attempt(f"{name}zz")) for _ in range(8)), strict=True)
    assert {text for text, _ in known} == {text for text, _ in unknown}
    quickest = [min(seconds for _, seconds in found) for found in (known, unknown)]  # the rest is others' work
    assert 0.2 < quickest[0] / quickest[1] < 5


def test_guessing_by_page_is_slowed_down_too(plaza: Site, name: str) -> None:
    """Brute force through the form: 429 after ten."""
    plaza.client(name)
    client = guest(plaza)
    codes = [send(client, "/login", {"username": name, "password": f"guess{n}"}).status_code for n in range(11)]
    assert codes == [422] * 10 + [429]


def test_ids_that_are_none_are_not_found(plaza: Site) -> None:
    """Negative, enormous, fractional, empty or Unicode digits: 404, never a crash."""
    for text in ("-1", "0", "9223372036854775808", "99999999999999999999", "1.5", "٣", "abc", "1e3", "0x10"):
        assert httpx.get(f"{plaza.base}/api/v1/statuses/{text}").status_code == 404
        assert httpx.get(f"{plaza.base}/api/v1/accounts/{text}").status_code == 404
        assert httpx.get(f"{plaza.base}/@x/{text}").status_code == 404


def test_strange_bodies_are_refused(plaza: Site, name: str) -> None:
    """Broken multipart, wrong types, deep JSON: 4xx with an error in JSON."""
    with plaza.http(plaza.client(name)) as http:
        for content, kind in [
            (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
            (b"x", "multipart/form-data"),
            (b"[1,2]", "application/json"),
            (b"[" * 100_000, "application/json"),
            (b'{"status": {"a": 1}, "media_ids": [[1]]}', "application/json"),
            (b"\xff\xfe", "application/json"),
            (b"status=%ff%fe%00", "application/x-www-form-urlencoded"),
        ]:
            answer = http.post("/api/v1/statuses", content=content, headers={"content-type": kind})
            assert 400 <= answer.status_code < 500, (content[:40], answer.status_code)
            assert "error" in answer.json()


def test_links_are_never_followed(plaza: Site, name: str) -> None:
    """SSRF: a link in a post or a search is text; nobody connects to it."""
    api = plaza.client(name)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data/"
        post = api.status_post(f"look {url}")
        assert post.card is None
        api.search_v2(url, resolve=True)
        api.account_update_credentials(note=url)
        httpx.get(post.url)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_the_interface_is_limited_and_says_so(sites: Callable[[], Site]) -> None:
    """Mastodon's three headers count down; then 429 with Retry-After; another person goes on, and posts have a share apart."""
    site = sites()
    site.settings |= {"API_LIMIT": "12", "LIMITS": "posts=2 reports=5"}
    site.start()
    one, other = site.client("one"), site.client("other")
    with site.http(one) as http:
        answers = [http.get("/api/v1/timelines/public") for _ in range(14)]
        left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
        assert left == sorted(left, reverse=True)
        assert answers[0].headers["x-ratelimit-limit"] == "12"
        assert datetime.fromisoformat(answers[0].headers["x-ratelimit-reset"]) > datetime.now(UTC)
        assert [answer.status_code for answer in answers[-2:]] == [429, 429]
        assert answers[-1].json() == {"error": "Too many requests"}
        assert "retry-after" in answers[-1].headers
    with site.http(other) as http:
        posted = [http.post("/api/v1/statuses", data={"status": f"post {n}"}) for n in range(3)]
        assert [answer.status_code for answer in posted] == [200, 200, 429]
        assert [answer.headers["x-ratelimit-remaining"] for answer in posted] == ["1", "0", "0"]
        assert {answer.headers["x-ratelimit-limit"] for answer in posted} == {"2"}
        until = datetime.fromisoformat(posted[-1].headers["x-ratelimit-reset"])
        assert timedelta(hours=2) < until - datetime.now(UTC) <= timedelta(hours=3)
        assert http.get("/api/v1/timelines/public").status_code == 200


def test_tokens_that_are_none_have_no_share(sites: Callable[[], Site]) -> None:
    """Another junk token with each request is still one address; who has a real one goes on, also one that was not seen before."""
    site = sites()
    site.settings["API_LIMIT"] = "12"
    site.start()
    real = site.client("real")
    site.stop()
    site.launch()
    wait_until(site.ready, site.log)
    app = {"client_name": "x", "redirect_uris": "urn:ietf:wg:oauth:2.0:oob"}
    with site.http() as http:
        junk = [{"Authorization": f"Bearer junk{n}"} for n in range(20)]
        codes = [http.post("/api/v1/apps", data=app, headers=one).status_code for one in junk]
    assert codes == [200] * 12 + [429] * 8
    with site.http(real) as http:
        answer = http.get("/api/v1/timelines/home")
        assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (200, "11")


def test_ids_do_not_tell_how_many_there_are(plaza: Site, name: str) -> None:
    """Scraping by counting: the low bits of ids in a row are random, so that a neighbour is not found by adding one."""
    api = plaza.client(name)
    ids = [int(api.status_post(f"n {n}").id) for n in range(12)]
    assert len({one & 0xFFFF for one in ids}) > 8
    steps = {after - before for before, after in itertools.pairwise(ids)}
    assert len(steps) == len(ids) - 1
    assert all(httpx.get(f"{plaza.base}/api/v1/statuses/{one + 1}").status_code == 404 for one in ids)
