"""Tokens: who gets one, what it is good for, and when it ends."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from mastodon import Mastodon, MastodonAPIError, MastodonIllegalArgumentError, MastodonUnauthorizedError

from resilience.plaza.bearer import challenge_of
from tests.plaza.harness import PASSWORD, Site, picture
from tests.plaza.pages import answers_until_refused, browser, fields_of

BACK = "https://client.example/back"


def allow(client: httpx.Client, wish: dict[str, str], answer: str = "yes") -> httpx.Response:
    """Read the page that asks, and answer it."""
    page = client.get("/oauth/authorize", params=wish)
    assert page.status_code == 200, page.text
    return client.post("/oauth/authorize", data={**fields_of(page.text), "answer": answer})


def registered(plaza: Site, uri: str = BACK, scopes: str = "read write") -> dict[str, str]:
    """Client id and secret of a new app."""
    form = {"client_name": "A client", "redirect_uris": uri, "scopes": scopes}
    app = httpx.post(plaza.base + "/api/v1/apps", data=form).json()
    return {"client_id": app["client_id"], "client_secret": app["client_secret"]}


def test_a_person_lets_an_app_in(plaza: Site, name: str) -> None:
    """Authorization code with PKCE: the code works once, with its verifier, and the token posts."""
    plaza.client(name)
    app = registered(plaza)
    verifier = "v" * 50
    wish = {
        "response_type": "code", "client_id": app["client_id"], "redirect_uri": BACK, "scope": "read write",
        "state": "a b&c", "code_challenge": challenge_of(verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    back = allow(browser(plaza, name), wish)
    assert back.status_code == 302
    assert back.headers["location"].startswith(BACK + "?")
    answer = parse_qs(urlsplit(back.headers["location"]).query)
    assert answer["state"] == ["a b&c"]
    grant = {**app, "grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": BACK}
    token = httpx.post(plaza.base + "/oauth/token", data={**grant, "code_verifier": verifier}).json()
    assert token["scope"] == "read write"
    api = Mastodon(access_token=token["access_token"], api_base_url=plaza.base)
    assert api.status_post("let in").account.acct == name
    again = httpx.post(plaza.base + "/oauth/token", data={**grant, "code_verifier": verifier})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_code_without_its_verifier_is_worthless(plaza: Site, name: str) -> None:
    """Whoever steals a code has nothing."""
    plaza.client(name)
    app = registered(plaza)
    wish = {
        "response_type": "code", "client_id": app["client_id"], "redirect_uri": BACK, "scope": "read",
        "code_challenge": challenge_of("right" * 10), "code_challenge_method": "S256",
    }  # fmt: skip
    code = parse_qs(urlsplit(allow(browser(plaza, name), wish).headers["location"]).query)["code"][0]
    grant = {**app, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    stolen = httpx.post(plaza.base + "/oauth/token", data={**grant, "code_verifier": "wrong" * 10})
    assert stolen.json()["error"] == "invalid_grant"


def test_codes_can_be_copied_by_hand(plaza: Site, name: str) -> None:
    """Out of band, as Mastodon.py does by default."""
    plaza.client(name)
    api = plaza.app(["read", "write"])
    asked = parse_qs(urlsplit(api.auth_request_url(scopes=["read"], skip_server_info=True)).query)
    page = allow(browser(plaza, name), {key: value[0] for key, value in asked.items()})
    found = re.search(r'<code class="code">([^<]+)</code>', page.text)
    assert found is not None
    api.log_in(code=found.group(1), scopes=["read"])
    assert api.me().acct == name


def test_no_means_no(plaza: Site, name: str) -> None:
    """A person who says no sends the app an error."""
    plaza.client(name)
    app = registered(plaza)
    wish = {"response_type": "code", "client_id": app["client_id"], "redirect_uri": BACK, "scope": "read"}
    back = allow(browser(plaza, name), wish, answer="no")
    assert back.headers["location"] == f"{BACK}?error=access_denied"


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "nobody"},
        {"scope": "read admin:write"},
        {"response_type": "token"},
        {"code_challenge": "x", "code_challenge_method": "plain"},
    ],
)
def test_wishes_that_nobody_is_asked_about(plaza: Site, name: str, change: dict[str, str]) -> None:
    """What can't be right ends here: the browser is sent nowhere."""
    plaza.client(name)
    app = registered(plaza)
    wish = {"response_type": "code", "client_id": app["client_id"], "redirect_uri": BACK, "scope": "read"}
    answer = browser(plaza, name).get("/oauth/authorize", params={**wish, **change})
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_guests_log_in_first_and_come_back(plaza: Site) -> None:
    """The page that asks sends guests to log in, and remembers where they wanted to go."""
    answer = httpx.get(plaza.base + "/oauth/authorize?client_id=x&scope=read", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Foauth%2Fauthorize%3Fclient_id%3Dx%26scope%3Dread"


def test_wrong_secrets_and_passwords(plaza: Site, name: str) -> None:
    """A wrong client is 401, a wrong password 400, both in OAuth's words."""
    plaza.client(name)
    app = registered(plaza)
    form = {**app, "grant_type": "password", "username": name, "password": PASSWORD, "scope": "read"}
    for change, status, error in [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"password": "wrong"}, 400, "invalid_grant"),
        ({"username": "nobody_at_all"}, 400, "invalid_grant"),
        ({"grant_type": "magic"}, 400, "unsupported_grant_type"),
        ({"scope": "admin:write"}, 400, "invalid_scope"),
    ]:
        answer = httpx.post(plaza.base + "/oauth/token", data={**form, **change})
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.headers["cache-control"] in ("private, no-store", "no-store")
    assert httpx.post(plaza.base + "/oauth/token", data=form).status_code == 200


def test_revoked_tokens_end(plaza: Site, name: str) -> None:
    """A revoked token is worthless at once; an app can't revoke another's."""
    api = plaza.client(name)
    token = api.access_token
    other = {**registered(plaza), "token": token}
    assert httpx.post(plaza.base + "/oauth/revoke", data=other).status_code == 200
    assert api.me().acct == name
    api.revoke_access_token()
    api.access_token = token
    with pytest.raises(MastodonUnauthorizedError):
        api.me()


def test_scopes_limit_a_token(plaza: Site, name: str) -> None:
    """A token that may only read can't post, follow or moderate."""
    plaza.client(name)
    api = plaza.app(["read"])
    api.log_in(name, PASSWORD, scopes=["read"])
    for attempt in (lambda: api.status_post("x"), lambda: api.account_follow(api.me().id), api.admin_reports):
        with pytest.raises(MastodonAPIError, match=r"403|outside"):
            attempt()


def test_narrow_scopes_are_enough_for_their_purpose(plaza: Site, name: str) -> None:
    """`write:statuses` posts, and does not upload."""
    plaza.client(name)
    api = plaza.app(["write:statuses"])
    api.log_in(name, PASSWORD, scopes=["write:statuses"])
    assert api.status_post("narrow").id
    with pytest.raises(MastodonAPIError, match="403"):
        api.media_post(b"x", "image/png")


OF_THE_TOKEN = {
    "/api/v1/apps/verify_credentials": ("write:media", "push"),
    "/api/v1/media/{id}": ("write:media",),
    "/api/v1/push/subscription": ("push",),
}
"""What Mastodon, too, answers a token that may not read: its app, the picture it brought, its own subscription."""


def test_a_token_that_may_not_read_reads_what_guests_do(plaza: Site, name: str) -> None:
    """Every GET of the OpenAPI document: what a token for pictures or pushes is not refused, everybody may read."""
    author, me = plaza.client(f"{name}a"), plaza.client(name)
    me.account_follow(author.me())
    post = author.status_post(f"@{name} hello, followers", visibility="private")
    me.status_favourite(post)
    me.account_mute(plaza.client(f"{name}m").me())
    [note] = [one for one in me.notifications() if one.type == "mention"]
    brought = me.media_post(picture(3), "image/jpeg")
    whose = {"accounts": [author.me().id, me.me().id], "statuses": [post.id], "notifications": [note.id]}
    asked = {"q": f"{name}a", "acct": f"{name}a", "id[]": str(author.me().id)}
    document = httpx.get(f"{plaza.base}/api/openapi.json").json()
    paths = [path for path, methods in document["paths"].items() if "get" in methods]

    def read(path: str, http: httpx.Client) -> list[tuple[int, str]]:
        ids = next((ids for kind, ids in whose.items() if f"/{kind}/" in path), [brought.id])
        found = [path.replace("{id}", str(one)).replace("{group_key}", f"ungrouped-{one}") for one in ids]
        wanted = asked | ({"id[]": str(post.id)} if path == "/api/v1/statuses" else {})
        answers = [http.get(one, params=wanted) for one in found if "{" not in one]
        return [(one.status_code, one.text) for one in answers]

    with plaza.http() as guest:
        public = {path: read(path, guest) for path in paths}
    for scope in ("write:media", "push"):
        narrow = plaza.app([scope])
        narrow.log_in(name, PASSWORD, scopes=[scope])
        with plaza.http(narrow) as http:
            for path in paths:
                for answer, everybody in zip(read(path, http), public[path], strict=True):
                    mine = scope in OF_THE_TOKEN.get(path, ()) or path == "/api/v1/instance"  # counts, and they change
                    assert mine or answer[0] == 403 or answer == everybody, (scope, path, answer)
    usual = plaza.app(["read", "write", "follow", "push"])
    usual.log_in(name, PASSWORD, scopes=["read", "write", "follow", "push"])
    with plaza.http(usual) as http:
        refused = {path for path in paths if any(status == 403 for status, _ in read(path, http))}
        assert {path for path in refused if not path.startswith("/api/v1/admin/")} == set()
        assert http.get(f"/api/v1/statuses/{post.id}").json()["content"] == post.content


def test_who_is_suspended_gets_in_by_no_app(plaza: Site, name: str) -> None:
    """A code from before is worthless, and gone; where it was not, its owner is looked at; a token reads nothing more."""
    app, codes = registered(plaza), {}
    wish = {"response_type": "code", "client_id": app["client_id"], "redirect_uri": BACK, "scope": "read"}
    people = {who: plaza.client(who) for who in (name, f"{name}z")}
    for who in people:
        back = allow(browser(plaza, who), wish).headers["location"]
        codes[who] = parse_qs(urlsplit(back).query)["code"][0]
    with plaza.http(plaza.moderator(f"{name}n")) as http:
        form = {"type": "suspend", "rule": "1", "text": "spam"}
        done = http.post(f"/api/v1/admin/accounts/{people[name].me().id}/action", data=form)
        assert done.status_code == 200, done.text
    left = "SELECT username FROM oauth_codes c JOIN accounts a ON a.id = c.account_id WHERE username LIKE %s"
    assert plaza.sql(left, f"{name}%") == [(f"{name}z",)]
    plaza.sql("UPDATE accounts SET suspended_at = now() WHERE username = %s", f"{name}z")
    for who, status in ((name, 400), (f"{name}z", 403)):
        grant = {**app, "grant_type": "authorization_code", "code": codes[who], "redirect_uri": BACK}
        answer = httpx.post(plaza.base + "/oauth/token", data=grant)
        assert (answer.status_code, answer.json()["error"]) == (status, "invalid_grant")
    with plaza.http(people[f"{name}z"]) as http:
        assert http.get("/api/v1/timelines/public").status_code == 403


def test_an_app_alone_is_nobody(plaza: Site) -> None:
    """A token without a person reads what is public and verifies itself."""
    app = registered(plaza)
    token = httpx.post(plaza.base + "/oauth/token", data={**app, "grant_type": "client_credentials"}).json()
    headers = {"Authorization": "Bearer " + token["access_token"]}
    verified = httpx.get(plaza.base + "/api/v1/apps/verify_credentials", headers=headers).json()
    assert verified["name"] == "A client"
    assert httpx.get(plaza.base + "/api/v1/timelines/public", headers=headers).status_code == 200
    assert httpx.get(plaza.base + "/api/v1/timelines/home", headers=headers).status_code == 422


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "not a uri", "", "https://x.test/#frag"])
def test_apps_that_cannot_be_registered(plaza: Site, uri: str) -> None:
    """Redirects into scripts are refused when the app registers."""
    answer = httpx.post(plaza.base + "/api/v1/apps", data={"client_name": "x", "redirect_uris": uri})
    assert answer.status_code == 422


def test_secrets_are_kept_as_hashes_only(plaza: Site, name: str) -> None:
    """Neither tokens nor passwords nor sessions can be read from the database."""
    api = plaza.client(name)
    session = browser(plaza, name).cookies["plaza_session"]
    tables = ("accounts", "apps", "oauth_tokens", "sessions", "oauth_codes")
    dump = " ".join(str(row) for table in tables for row in plaza.sql(f"SELECT {table}::text FROM {table}"))  # noqa: S608 (names above)
    for secret in (str(api.access_token), str(api.client_secret), session, PASSWORD):
        assert secret not in dump
    assert "$argon2id$" in dump


def test_guessing_is_slowed_down(plaza: Site, name: str) -> None:
    """After ten wrong passwords even the right one has to wait, and it says for how long."""
    plaza.client(name)
    api = plaza.app(["read"])
    for _ in range(10):
        with pytest.raises(MastodonIllegalArgumentError, match="invalid_grant"):
            api.log_in(name, "wrong guess", scopes=["read"])
    app = {"client_id": api.client_id, "client_secret": api.client_secret}
    form = {**app, "grant_type": "password", "username": name.upper(), "password": PASSWORD, "scope": "read"}
    answer = httpx.post(plaza.base + "/oauth/token", data=form)
    assert answer.status_code == 429
    assert re.search(r"Try again in \d+ seconds", answer.json()["error"])
    assert "retry-after" in answer.headers


def test_many_guesses_at_once_are_no_more_than_many_in_a_row(plaza: Site, name: str) -> None:
    """A burst of passwords: ten are judged, however they come."""
    plaza.client(name)
    app = registered(plaza, scopes="read")
    form = {**app, "grant_type": "password", "username": name, "scope": "read"}
    with plaza.http() as http:

        def guess(number: int) -> int:
            return http.post("/oauth/token", data={**form, "password": f"guess {number}"}).status_code

        assert answers_until_refused(guess)[400] == 10
