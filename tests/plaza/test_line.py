"""The line: whoever signs up gets a place, keeps it, and is let in once."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet

from resilience.adapters import plaza_users
from resilience.adapters.kit import Kit
from resilience.adapters.plaza import PlazaOnHost
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import PASSWORD as WALKER_PASSWORD
from resilience.adapters.plaza_users import WALKER, enter
from resilience.adapters.shells import Shells
from resilience.host.gate import caddy_rules
from tests.plaza.harness import PASSWORD, Site, wait_until
from tests.plaza.pages import fields_of, guest, send

Sites = Callable[[], Site]


def ask(client: httpx.Client, name: str) -> dict[str, str]:
    """A filled-in form, as this browser would send it."""
    hidden = fields_of(client.get("/register").text)
    return {**hidden, "username": name, "password": PASSWORD, "agreement": "1"}


def shut(site: Site) -> None:
    """Hold everybody's place, as another batch would that takes long."""
    site.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the door is shut' USING ERRCODE = '57014'; END $$"
    )
    site.sql(
        "CREATE TRIGGER shut BEFORE UPDATE ON signups FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION wait()"
    )


def shut_site(sites: Sites) -> Site:
    """A plaza whose door is shut, where nobody waits long to be told so."""
    site = sites()
    site.settings["LINE_WAIT_S"] = "0.2"
    site.start()
    shut(site)
    return site


def open_again(site: Site) -> None:
    """Let them in."""
    site.sql("DROP TRIGGER shut ON signups")


def _is_let_in(client: httpx.Client) -> bool:
    return str(client.get("/waiting").headers.get("location")) == "/?said=welcome"


def test_whoever_waits_sees_their_place_and_comes_in(sites: Sites, name: str) -> None:
    """Without JavaScript: a page with a place that reloads itself, then one's home; the ticket is spent."""
    site = shut_site(sites)
    first, second = guest(site), guest(site)
    for client, who in ((first, f"{name}a"), (second, f"{name}b")):
        answer = client.post("/register", data=ask(client, who))
        assert answer.headers["location"] == "/waiting"
    page = second.get("/waiting")
    assert page.headers["retry-after"] == re.search(r'http-equiv="refresh" content="(\d+)"', page.text)[1]  # type: ignore[index]
    assert "1 person is before you" in page.text
    assert second.get("/register").headers["location"] == "/waiting"
    assert first.get("/settings").headers["location"].startswith("/login")
    open_again(site)
    for client, who in ((first, f"{name}a"), (second, f"{name}b")):
        wait_until(partial(_is_let_in, client))
        assert f"/@{who}" in client.get("/").text
        assert client.get("/waiting").headers["location"] == "/login"


def test_a_place_outlives_a_crash_and_a_move(sites: Sites, name: str) -> None:
    """Killed with people in line and started again: everybody who was told a place is let in, once."""
    site = shut_site(sites)
    names = [f"{name}x{number}" for number in range(12)]

    def stand(who: str) -> str:
        client = guest(site)
        answer = client.post("/register", data=ask(client, who))
        assert answer.headers["location"] == "/waiting"
        return client.cookies["plaza_place"]

    with ThreadPoolExecutor(6) as pool:
        tickets = list(pool.map(stand, names))
    site.stop(signal.SIGKILL)
    open_again(site)
    site.launch()
    wait_until(site.ready, site.log)
    wait_until(lambda: site.sql("SELECT count(*) FROM accounts") == [(12,)], site.log)
    for ticket, who in zip(tickets, names, strict=True):
        client = guest(site)
        client.cookies.set("plaza_place", ticket)
        assert client.get("/waiting").headers["location"] == "/?said=welcome"
        assert f"/@{who}" in client.get("/").text


def test_an_impatient_finger_is_one_sign_up(plaza: Site, name: str) -> None:
    """The same form ten times at once: one account, and everybody who sent it is that person."""
    client = guest(plaza)
    form = ask(client, name)

    def press(_: int) -> httpx.Response:
        answer = httpx.post(plaza.base + "/register", data=form, cookies=dict(client.cookies), timeout=120)
        return press(_) if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer  # all were at work

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(press, range(10)))
    assert {answer.status_code for answer in answers} == {303}
    assert plaza.sql("SELECT count(*) FROM accounts WHERE username = %s", name) == [(1,)]
    assert plaza.sql("SELECT count(*) FROM signups WHERE username = %s", name) == [(1,)]


def test_a_name_that_waits_is_taken(sites: Sites, name: str) -> None:
    """Nobody else gets a name while its owner stands in line, whatever the case."""
    site = shut_site(sites)
    client = guest(site)
    client.post("/register", data=ask(client, name))
    answer = send(guest(site), "/register", {"username": name.upper(), "password": PASSWORD, "agreement": "1"})
    assert answer.status_code == 422
    assert "already been taken" in answer.text


def test_a_walker_whose_sign_up_waits_gets_in(sites: Sites) -> None:
    """A site that was lost right after the walker signed up brings back the place in line without its account."""
    site = shut_site(sites)
    client = guest(site)
    client.post("/register", data={**ask(client, WALKER), "password": WALKER_PASSWORD})
    walker = Client(site.base)
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(enter, walker)
        wait_until(lambda: site.sql("SELECT count(*) FROM apps")[0][0] >= 2)  # it was refused once, and tries again
        open_again(site)
        entering.result(timeout=120)
    assert walker.post("Here at last.")["account"]["username"] == WALKER


def test_an_app_gets_a_token_that_becomes_theirs(sites: Sites, name: str) -> None:
    """Mastodon's API while the line doesn't move: a token that is nobody's until its owner is let in."""
    site = shut_site(sites)
    api = site.app(["read", "write"])
    form = {"username": name, "email": f"{name}@users.test", "password": PASSWORD, "agreement": "true"}
    with site.http() as http:
        login = {"grant_type": "client_credentials", "scope": "read write"}
        app = http.post("/oauth/token", data={**login, "client_id": api.client_id, "client_secret": api.client_secret})
        token = http.post(
            "/api/v1/accounts", data=form, headers={"Authorization": f"Bearer {app.json()['access_token']}"}
        ).json()["access_token"]
        mine = {"Authorization": f"Bearer {token}"}
        assert http.get("/api/v1/accounts/verify_credentials", headers=mine).status_code == 422
        assert http.get("/api/v1/accounts/verify_credentials", headers=mine).status_code == 422
        assert 'lane="inside"' not in http.get("/metrics").text
        open_again(site)
        wait_until(lambda: http.get("/api/v1/accounts/verify_credentials", headers=mine).status_code == 200, site.log)
        assert http.get("/api/v1/accounts/verify_credentials", headers=mine).json()["username"] == name


def test_passwords_that_wait_can_be_read_by_nobody(sites: Sites, name: str) -> None:
    """No password is in the database; a host with another key lets nobody in, and nobody loses their place."""
    site = shut_site(sites)
    client = guest(site)
    client.post("/register", data=ask(client, name))
    stored = site.sql("SELECT signups::text, convert_from(sealed, 'UTF8') FROM signups")
    assert PASSWORD not in str(stored)
    site.stop()
    key = site.folder / "signups.key"
    right = key.read_bytes()
    key.write_bytes(Fernet.generate_key())
    open_again(site)
    site.launch()
    wait_until(lambda: "Bring the fleet's signups.key" in site.log(), site.log)
    assert site.sql("SELECT state FROM signups") == [("waiting",)]
    site.stop()
    key.write_bytes(right)
    site.launch()
    wait_until(lambda: site.sql("SELECT state, sealed FROM signups") == [("done", None)], site.log)


def held_at_the_proxy(path: str) -> bool:
    """Whether the gate holds a POST there while it holds sign-ups."""
    rules = caddy_rules(
        "/readyz", PlazaOnHost(Shells(Kit(Path("/nowhere"))), Path("/nowhere"), "plaza.test").sign_up_paths
    )
    [patterns] = re.findall(r"@joining {\n\tmethod POST\n\tpath (.*)\n", rules)
    return any(fnmatch(path, pattern) for pattern in patterns.split())


def test_the_gate_holds_whatever_makes_accounts_and_nothing_else(plaza: Site) -> None:
    """Also with the slash that plaza takes off, and by the link in a letter; who is inside follows and posts meanwhile."""
    for path in ("/register", "/api/v1/accounts", "/api/v1/accounts/", "/confirm/secret"):
        assert held_at_the_proxy(path), path
        assert httpx.post(plaza.base + path).status_code != httpx.codes.METHOD_NOT_ALLOWED
    for path in ("/api/v1/accounts/1/follow", "/api/v1/statuses", "/login", "/posts"):
        assert not held_at_the_proxy(path), path


def test_while_sign_ups_are_held_nobody_from_before_is_let_in(sites: Sites, name: str) -> None:
    """Who stood in line before the site moved, or was closed, waits on; the gate's keeper, who alone gets past it, comes in."""
    site = shut_site(sites)
    before = guest(site)
    assert before.post("/register", data=ask(before, f"{name}b")).headers["location"] == "/waiting"
    site.stop()
    gate = site.folder / "gate"
    gate.mkdir()
    site.settings |= {"SIGN_UPS_MARK": str(gate / "sign-up"), "LINE_WAIT_S": "30"}
    open_again(site)
    site.launch()
    wait_until(site.ready, site.log)
    keeper = guest(site)
    assert keeper.post("/register", data=ask(keeper, f"{name}k")).headers["location"] == "/?said=welcome"
    assert "You are next" in before.get("/waiting").text
    assert site.sql("SELECT username FROM accounts") == [(f"{name}k",)]
    (gate / "sign-up").touch()
    wait_until(partial(_is_let_in, before))


def test_a_walker_whose_sign_up_is_held_takes_another_name(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failover's own walk ends well though the walker stands in the line that the old site had: it would never be let in."""
    monkeypatch.setattr(plaza_users, "IN_LINE_S", 2.0)
    site = shut_site(sites)
    client = guest(site)
    client.post("/register", data={**ask(client, WALKER), "password": WALKER_PASSWORD})
    site.stop()
    (site.folder / "gate").mkdir()
    site.settings |= {"SIGN_UPS_MARK": str(site.folder / "gate" / "sign-up"), "LINE_WAIT_S": "30"}
    open_again(site)
    site.launch()
    wait_until(site.ready, site.log)
    walker = Client(site.base)
    enter(walker)
    assert walker.post("Here at last.")["account"]["username"].startswith(f"{WALKER}_")
    assert site.sql("SELECT username FROM signups WHERE state = 'waiting'") == [(WALKER,)]
