"""Bad luck: the database goes away, comes back, or doesn't confirm; the server is stopped."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from mastodon import MastodonIllegalArgumentError

from resilience.adapters import plaza_client, plaza_workload
from resilience.adapters.plaza_workload import _Fill
from resilience.plaza.answers import BUSY
from resilience.plaza.erasure import PICTURES
from tests.plaza.harness import PASSWORD, Postgres, Site, migrated, picture, running_postgres, wait_until
from tests.plaza.pages import browser, fields_of, guest, send


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    """A Postgres that may be stopped."""
    with running_postgres() as found:
        yield found


@pytest.fixture(scope="module")
def own_template(own: Postgres) -> str:
    """A migrated database on it."""
    return migrated(own)


@pytest.fixture(scope="module")
def lasting(own: Postgres, own_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A plaza for tests that leave it as it was, but for the server."""
    found = Site(tmp_path_factory.mktemp("lasting"), own, own.new_database(own_template))
    yield found
    found.end()


@pytest.fixture
def running(lasting: Site) -> Site:
    """That one, started again if the test before stopped it."""
    if lasting.server is None or lasting.server.poll() is not None:
        lasting.start()
    return lasting


@pytest.fixture
def site(own: Postgres, own_template: str, tmp_path: Path) -> Iterator[Site]:
    """A plaza on it, started."""
    found = Site(tmp_path / "site", own, own.new_database(own_template))
    found.start()
    yield found
    found.end()


@pytest.fixture
def hasty(own: Postgres, own_template: str, tmp_path: Path) -> Iterator[Site]:
    """A plaza whose commits wait for nobody unless they ask for it, and which itself waits two seconds for anything; started."""
    found = Site(tmp_path / "site", own, own.new_database(own_template))
    found.settings |= {"LEDGER_WAIT_S": "2", "LINE_WAIT_S": "2"}
    found.sql(f"ALTER DATABASE {found.database} SET synchronous_commit = local")
    found.start()
    yield found
    found.end()


@contextmanager
def nobody_confirms(site: Site) -> Iterator[None]:
    """Commits that wait for copies elsewhere wait in vain; it begins when the first was seen to wait, and not before."""
    site.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    site.sql("SELECT pg_reload_conf()")
    try:
        with psycopg.connect(site.url, autocommit=True, options="-c synchronous_commit=on") as probe:
            _wait_in_vain(site, probe)
        yield
    finally:
        site.sql("ALTER SYSTEM RESET synchronous_standby_names")
        site.sql("SELECT pg_reload_conf()")


def _wait_in_vain(site: Site, probe: psycopg.Connection[Any]) -> None:
    pid = probe.info.backend_pid
    waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
    with ThreadPoolExecutor(1) as pool:
        waits = False
        while not waits:
            commit = pool.submit(probe.execute, "SELECT pg_logical_emit_message(true, 'probe', 'x')")
            wait_until(lambda job=commit: job.done() or site.sql(waiting, pid) != [])  # type: ignore[misc]
            waits = not commit.done()
        site.sql("SELECT pg_cancel_backend(%s)", pid)
        commit.result(timeout=120)


def _unconfirmed(site: Site, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """What is answered when the wait of a commit is cancelled."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)

        def ends() -> bool:  # it is cancelled until it is this one's: others' commits may wait, too
            site.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            return asked.done()

        wait_until(ends)
    return asked.result()


def test_plaza_survives_a_restart_of_postgres(running: Site, own: Postgres) -> None:
    """Away: 503, in JSON and as a page, and not ready. Back: everything goes on, sessions too."""
    api = running.client("stayer")
    page = browser(running, "stayer")
    own.stop()
    with running.http(api) as http:
        answer = http.post("/api/v1/statuses", data={"status": "lost?"})
        assert answer.status_code == 503
        assert "can't reach its database" in answer.json()["error"]
        assert page.get("/").status_code == 503
        assert "Not right now" in page.get("/").text
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200
        own.start()
        wait_until(running.ready)
        assert http.post("/api/v1/statuses", data={"status": "back"}).status_code == 200
    assert "back" in page.get("/").text


def test_a_full_pool_is_not_called_an_absence(running: Site) -> None:
    """Every connection waits for a lock: whoever comes then hears that it is busy, and it is ready again after."""
    api = running.client("crowd")
    with running.http(api) as http, ThreadPoolExecutor(20) as pool:
        with psycopg.connect(running.url) as holder:
            holder.execute("LOCK TABLE statuses IN ACCESS EXCLUSIVE MODE")
            asked: list[Future[httpx.Response]] = []

            def all_at_work() -> bool:  # a connection that takes long to come refuses one more, and is asked for again
                waiting = running.sql(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'statuses'::regclass AND NOT granted"
                )
                under_way = sum(not one.done() for one in asked)
                asked.extend(pool.submit(http.get, "/api/v1/timelines/home") for _ in range(10 - under_way))
                return waiting == [(10,)]

            wait_until(all_at_work, running.log)
            late = [pool.submit(http.get, "/api/v1/timelines/home") for _ in range(10)]
            refused = [one.result() for one in late]
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.json()["error"] for answer in refused} == {BUSY}
            assert "Too busy to look: all 10 connections" in http.get("/readyz").json()["why"]
            at_work = [
                one for one in asked if not one.done()
            ]  # all of them, unless plaza itself looks at posts just then
        assert len(at_work) >= 9
        assert {one.result().status_code for one in at_work} == {200}
        wait_until(running.ready, running.log)


def test_a_long_absence_is_over_as_soon_as_postgres_is_back(running: Site, own: Postgres) -> None:
    """After being away for longer than the pool tries, the first request that can succeed does."""
    own.stop()
    gone = time.monotonic()
    while time.monotonic() - gone < 6.5:
        assert not running.ready()
    own.start()
    wait_until(running.ready)


def test_plaza_opens_when_the_database_comes_later(running: Site, own: Postgres) -> None:
    """Started before its database, plaza waits closed and opens by itself."""
    running.stop()
    own.stop()
    before = len(running.log())
    running.launch()
    wait_until(lambda: "closed" in running.log()[before:], running.log)
    answer = httpx.get(running.base + "/")
    assert answer.status_code == 503
    assert "not open yet" in answer.text
    assert httpx.get(running.base + "/api/v1/instance").json()["error"].startswith("Plaza is not open yet")
    assert httpx.get(running.base + "/healthz").status_code == 200
    own.start()
    wait_until(running.ready, running.log)


def test_a_read_only_database_says_so(site: Site) -> None:
    """Where nothing can be written (a standby, a fenced site) reading works and writing is 503."""
    api = site.client("reader")
    api.status_post("before")
    site.sql(f"ALTER DATABASE {site.database} SET default_transaction_read_only = on")
    site.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
             "AND datname = current_database()")  # fmt: skip
    with site.http(api) as http:
        assert http.get("/api/v1/timelines/public").status_code == 200
        answer = http.post("/api/v1/statuses", data={"status": "after"})
    assert answer.status_code == 503
    assert "not written to" in answer.json()["error"]


def test_a_commit_that_was_not_confirmed_is_no_success(running: Site) -> None:
    """Quorum mode: when the wait for the standby is cancelled, the commit is local only, and nobody hears `posted`."""
    api = running.client("careful")
    with nobody_confirms(running), running.http(api) as http:
        answer = _unconfirmed(running, lambda: http.post("/api/v1/statuses", data={"status": "x"}))
    assert answer.status_code == 503
    assert "not confirmed" in answer.json()["error"]


def test_what_is_there_already_waits_as_a_fresh_write_does(running: Site) -> None:
    """Quorum mode: a commit that nobody confirmed is here for all to see; sent again, it is no success before it is confirmed."""
    api = running.client("retrier")
    post = api.status_post("liked")
    with running.http(api) as http:

        def write() -> httpx.Response:
            key = {"Idempotency-Key": "one"}
            return http.post("/api/v1/statuses", data={"status": "once"}, headers=key)

        def like() -> httpx.Response:
            return http.post(f"/api/v1/statuses/{post.id}/favourite")

        with nobody_confirms(running):
            for again in (write, like):
                assert _unconfirmed(running, again).status_code == 503
                assert _unconfirmed(running, again).status_code == 503
            assert http.get("/api/v1/timelines/home").json()[0]["content"] == "<p>once</p>"
        assert [write().status_code, like().status_code] == [200, 200]
    assert running.sql("SELECT count(*) FROM statuses WHERE account_id = %s", api.me().id) == [(2,)]


def test_only_whoever_is_told_of_what_was_there_already_leaves_a_mark_in_the_log(running: Site) -> None:
    """A fresh write, a read and looking for sign-ups, letters or messages in vain leave none; each would be one more record to ship."""
    running.sql("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
    api = running.client("marker")
    looked = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'site_mode'"
    told = "SELECT count(*) FROM pg_get_wal_records_info_till_end_of_wal(%s) WHERE resource_manager = 'LogicalMessage'"
    [(begun,)], [(before,)] = running.sql("SELECT pg_current_wal_flush_lsn()"), running.sql(looked)
    with running.http(api) as http:
        for marks in (0, 1, 2):
            answer = http.post("/api/v1/statuses", data={"status": "x"}, headers={"Idempotency-Key": "one"})
            assert answer.status_code == 200
            assert http.get("/api/v1/timelines/home").status_code == 200
            assert running.sql(told, begun) == [(marks,)]
    wait_until(lambda: running.sql(looked)[0][0] > before + 8)
    assert running.sql(told, begun) == [(2,)]


def test_takedowns_do_not_wait_for_the_standby(site: Site) -> None:
    """The ledger's own copies make a takedown safe, so replay and takedown work before any standby is there."""
    moderator, author = site.moderator("judge"), site.client("writer")
    post = author.status_post("bad")
    site.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    site.sql("SELECT pg_reload_conf()")
    try:
        assert site.run("replay-ledger")["entries"] == 0
        with psycopg.connect(site.url) as conn:
            shown = conn.execute("SHOW synchronous_standby_names").fetchone()
        assert shown == ("nobody",)
        answer: list[int] = []
        threading.Thread(target=lambda: answer.append(site.take_down(moderator, str(post.id)).status_code)).start()
        wait_until(lambda: site.sql("SELECT count(*) FROM statuses") == [(0,)])
    finally:
        site.sql("ALTER SYSTEM RESET synchronous_standby_names")
        site.sql("SELECT pg_reload_conf()")
    wait_until(lambda: answer == [200])


def test_stopping_lets_running_requests_finish(running: Site) -> None:
    """SIGTERM in the middle of an upload: it is answered, then the server ends."""
    api = running.client("uploader")
    codes: list[int] = []

    def upload() -> None:
        with running.http(api) as http:
            codes.append(http.post("/api/v2/media", files={"file": ("x.jpg", picture(1), "image/jpeg")}).status_code)

    assert running.server is not None
    with psycopg.connect(running.url) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s, n) FROM generate_series(0, 255) n", (PICTURES,))
        thread = threading.Thread(target=upload)
        thread.start()
        wait_until(lambda: running.sql("SELECT 1 FROM pg_locks WHERE NOT granted") != [])
        running.server.send_signal(signal.SIGTERM)
        wait_until(lambda: not running.ready())
        assert running.server.poll() is None
    thread.join(timeout=120)
    assert codes == [200]
    assert running.server.wait(timeout=120) in (0, -signal.SIGTERM)


def test_sessions_and_tokens_survive_a_new_server(running: Site) -> None:
    """They live in the database: a failover logs nobody out."""
    api = running.client("traveller")
    page = browser(running, "traveller")
    running.stop(signal.SIGKILL)
    running.start()
    assert api.me().username == "traveller"
    assert page.get("/settings").status_code == 200


def put_a_file_where_pictures_go(site: Site) -> None:
    """Keys are made in stock since the start, and may make the folder again at any moment."""
    folder, moved = site.folder / "media", 0
    while not folder.is_file():
        if folder.is_dir():
            folder.rename(site.folder / f"media-{(moved := moved + 1)}")
        with suppress(IsADirectoryError):
            folder.write_text("a file where a folder should be")


def test_a_picture_that_cannot_be_written_stores_no_row(site: Site) -> None:
    """When the file can't be written, the upload fails and no row names it."""
    api = site.client("painter")
    put_a_file_where_pictures_go(site)
    with site.http(api) as http:
        answer = http.post("/api/v2/media", files={"file": ("x.jpg", picture(1), "image/jpeg")})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert site.sql("SELECT count(*) FROM media") == [(0,)]


def test_a_new_password_waits_for_the_quorum_whatever_the_mode(hasty: Site) -> None:
    """Where commits don't wait, a password change and a takedown still do; nobody is told `done` before."""
    author, moderator = hasty.client("writer"), hasty.moderator("judge")
    post = author.status_post("soon gone")
    client = browser(hasty, "writer")
    with nobody_confirms(hasty):
        author.status_post("does not wait")
        form = {"password": PASSWORD, "new": "another battery staple"}
        answer = send(client, "/settings/password", form, "/settings/security")
        assert (answer.status_code, "not confirmed" in answer.text) == (503, True)
        refused = hasty.take_down(moderator, str(post.id))
        assert refused.status_code == 503
        assert httpx.get(f"{hasty.base}/api/v1/statuses/{post.id}").status_code == 404


def test_nobody_is_told_a_place_or_welcomed_before_it_is_held_elsewhere(hasty: Site) -> None:
    """Where commits don't wait, sign-ups still do: by form, at the page that looks again, and by an app."""
    client = guest(hasty)
    form = {**fields_of(client.get("/register").text), "username": "early", "password": PASSWORD, "agreement": "1"}
    app = hasty.app(["read", "write"])
    with nobody_confirms(hasty):
        for _ in range(2):
            assert client.post("/register", data=form).status_code == 503
        with pytest.raises(MastodonIllegalArgumentError, match="not confirmed"):
            app.create_account("appish", PASSWORD, "appish@users.test", agreement=True, scopes=["read", "write"])
        made = "SELECT count(*) FROM accounts WHERE username = 'early'"
        wait_until(lambda: hasty.sql(made) == [(1,)], hasty.log)
        client.cookies.set("plaza_place", form["key"])
        assert client.get("/waiting").status_code == 503
    wait_until(lambda: client.post("/register", data=form).headers.get("location") == "/?said=welcome", hasty.log)


def test_whoever_fills_a_site_gets_in_though_it_was_told_so_too_late(hasty: Site) -> None:
    """A drill's user, whose account was made and not confirmed in time: their name is taken then, by them, and they go on."""
    with ThreadPoolExecutor(1) as pool:
        with nobody_confirms(hasty):
            filling = pool.submit(_Fill(hasty.base, 1, ["first words"], [], 0).run)
            wait_until(lambda: re.search(r'"status": ?503', hasty.log()), hasty.log)
        assert filling.result(timeout=120) == (1, 0)
    assert hasty.sql("SELECT count(*) FROM statuses") == [(1,)]


def test_a_takedown_that_was_made_and_said_too_late_is_asked_for_again(hasty: Site) -> None:
    """A drill's moderator, who was told 503: the post is gone by then, can't be reported again, and is taken down once."""
    name, password = plaza_workload.user(0)
    author = plaza_client.Client(hasty.base)
    author.register(name, password)
    hasty.run("make-moderator", name)
    post = author.post("soon gone")["id"]
    with ThreadPoolExecutor(1) as pool:
        with nobody_confirms(hasty):
            taking = pool.submit(plaza_workload.take_down, {"base": hasty.base, "count": 1})
            wait_until(lambda: re.search(r'"status": ?503', hasty.log()), hasty.log)
        assert taking.result(timeout=120) == {"taken_down": [post]}
    assert hasty.run("facts")["takedowns"]["issued"] == 1
