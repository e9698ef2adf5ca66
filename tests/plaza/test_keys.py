"""Persons' keys: no word is in what is copied, nobody is given a key, and with the key destroyed nothing opens any more."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from mastodon import Mastodon, MastodonAPIError

from resilience.adapters.plaza_workload import _Fill
from resilience.plaza.db import Database
from resilience.plaza.gate import Gate
from resilience.plaza.keys import GONE, SIZE, Keys
from resilience.plaza.persons import FEWEST, Stock
from resilience.plaza.store import Store
from resilience.replication.snapshot import unlogged
from tests.plaza.harness import PASSWORD, Site, picture, sha_of, wait_until
from tests.plaza.pages import browser, guest, send

Sites = Callable[[], Site]
KEY = (
    "SELECT m.sha256, m.id FROM media m JOIN accounts a ON a.id = m.account_id WHERE purpose = 'key' AND username = %s"
)
SAID = {
    what: f"zq{what}zq"
    for what in ("post", "warning", "before", "after", "alt", "altered", "name", "bio", "field", "report", "appeal")
}
"""A word that nobody else says, for each place where somebody may say one."""


def says_all(site: Site, name: str) -> tuple[Mastodon, Any]:
    """Somebody who says something wherever one can; with a post of theirs."""
    api, moderator = site.client(name), site.moderator(f"{name}m")
    media = api.media_post(picture(3), "image/jpeg", description=SAID["alt"])
    api.media_update(media, description=SAID["altered"])
    post = api.status_post(SAID["post"], spoiler_text=SAID["warning"], media_ids=[media])
    edited = api.status_post(SAID["before"])
    api.status_update(edited, SAID["after"])
    api.account_update_credentials(display_name=SAID["name"], note=SAID["bio"], fields=[("Site", SAID["field"])])
    api.report(moderator.me(), comment=SAID["report"])
    moderator.report(api.me(), status_ids=[edited])
    [report] = [one for one in moderator.admin_reports() if one.statuses]
    decision = {"action": "hide", "rule": "1", "reason": "unkind"}
    with site.http(moderator) as http:
        assert http.post(f"/api/v1/admin/reports/{report.id}/decide", data=decision).status_code == 200
    with site.http(api) as http:
        [decided] = http.get("/api/v1/decisions").json()
        assert http.post(f"/api/v1/decisions/{decided['id']}/appeal", data={"text": SAID["appeal"]}).status_code == 200
    return api, post


def keys_missed(site: Site) -> float:
    """How often a key was not there, as an operator's monitoring sees it."""
    [missed] = re.findall(r"^plaza_keys_missed_total (\S+)$", httpx.get(site.base + "/metrics").text, re.MULTILINE)
    return float(missed)


def copied(site: Site, since: str) -> Iterator[tuple[Path, bytes]]:
    """What a snapshot takes of this database's folder, and the log since then."""
    [(oid,)] = site.sql("SELECT oid FROM pg_database WHERE datname = current_database()")
    data = site.postgres.folder / "data"
    apart = tuple(unlogged(data))
    for path in sorted([*data.glob(f"base/{oid}/*"), *data.glob("global/*"), *data.glob("pg_wal/*")]):
        is_old = path.parent.name == "pg_wal" and path.name < since
        if path.is_file() and not is_old and not str(path).startswith(apart):
            with suppress(FileNotFoundError):  # Postgres was rid of it meanwhile
                yield path, path.read_bytes()
    assert any(f"/{oid}/" in path for path in apart)


def test_no_word_is_in_what_is_copied(plaza: Site) -> None:
    """Posts, warnings, edits, alt texts, profile, report, appeal: all are shown and found, and in no file and no log."""
    [(since,)] = plaza.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    api, post = says_all(plaza, "talker")
    moderator = browser(plaza, "talkerm")
    assert [one.id for one in api.search_v2(SAID["post"], result_type="statuses").statuses] == [post.id]
    assert [one.username for one in api.search_v2(SAID["name"], result_type="accounts").accounts] == ["talker"]
    shown = (
        str(api.status(post))
        + str(api.me())
        + moderator.get("/moderation").text
        + moderator.get("/moderation/appeals").text
    )
    shown += str([api.status_history(one) for one in api.account_statuses(api.me())])
    export = send(browser(plaza, "talker"), "/settings/export", {}, "/settings")
    with zipfile.ZipFile(io.BytesIO(export.content)) as archive:
        shown += "".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
    assert [word for what, word in SAID.items() if word not in shown and what != "alt"] == []
    plaza.sql("ANALYZE")
    plaza.sql("CHECKPOINT")
    files = list(copied(plaza, since))
    assert any(b"talkerm" in data for _, data in files)
    assert [(path, word) for path, data in files for word in SAID.values() if word.encode() in data] == []


def test_an_erased_person_is_read_by_nobody(sites: Sites, tmp_path: Path) -> None:
    """With an older database, what rows held, and every key that is left: a restore forgets again, and no text opens."""
    site = sites()
    site.start()
    wait_until(lambda: site.sql("SELECT count(*) FROM ready_keys") == [(FEWEST,)], site.log)
    says_all(site, "leaver")
    site.client("stays").status_post("still here")
    [(name, _)] = site.sql(KEY, "leaver")
    held = site.sql(
        "SELECT s.id, s.sealed FROM statuses s JOIN accounts a ON a.id = s.account_id WHERE username = 'leaver'"
    )
    keys = Keys(Store(site.folder / "media", tmp_path / "out"))
    assert all(keys.open(name, f"statuses/{number}", sealed) for number, sealed in held)
    site.stop()
    older = sites()
    older.database = site.postgres.new_database(site.database)
    shutil.copytree(site.folder / "media", older.folder / "media", dirs_exist_ok=True)
    shutil.copy(site.folder / "ledger.key", older.folder / "ledger.key")

    site.launch()
    wait_until(site.ready, site.log)
    assert (
        send(browser(site, "leaver"), "/settings/delete", {"password": PASSWORD}).headers["location"] == "/?said=gone"
    )
    assert not site.picture_file(name).exists()
    shutil.copytree(site.folder / "ledger", older.folder / "ledger", dirs_exist_ok=True)
    assert older.sql(KEY, "leaver")
    assert older.picture_file(name).exists()
    older.run("replay-ledger")
    assert (older.sql(KEY, "leaver"), older.picture_file(name).exists()) == ([], False)
    assert older.run("facts")["media"]["missing"] == []
    for folder in (site.folder / "media", older.folder / "media"):
        left = Keys(Store(folder, tmp_path / "out"))
        tried = [path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_size == SIZE]
        assert len(tried) > FEWEST // 2
        assert not any(left.open(key, f"statuses/{number}", sealed) for key in tried for number, sealed in held)
    assert older.sql("SELECT count(*) FROM accounts WHERE username = 'stays'") == [(1,)]


def test_nobody_is_given_a_key(plaza: Site, name: str) -> None:
    """Not by the address of a picture, not as one's own picture, not in a post, not in the export, and by no name in an answer."""
    api = plaza.client(name)
    post = api.status_post("mine")
    [(key, number)] = plaza.sql(KEY, name)
    secret = plaza.picture_file(key).read_bytes()
    with plaza.http(api) as me, guest(plaza) as anybody:
        paths = [f"/media/{key}{end}" for end in ("", ".jpg", ".webp", ".bin", ".octet-stream", ".jpg/..", "%00.jpg")]
        paths += [
            f"/media/{key[:2]}/{key}",
            f"/static/../media/{key[:2]}/{key}",
            f"/static/%2e%2e/media/{key[:2]}/{key}",
        ]
        assert {who.get(path).status_code for who in (me, anybody) for path in paths} <= {404, 422}
        assert me.get(f"/api/v1/media/{number}").status_code == 404
        assert me.put(f"/api/v1/media/{number}", data={"description": "x"}).status_code == 404
        assert me.post("/api/v1/statuses", data={"status": "x", "media_ids[]": str(number)}).status_code == 422
        assert (
            me.put(f"/api/v1/statuses/{post.id}", data={"status": "x", "media_ids[]": str(number)}).status_code == 422
        )
        told = [me.get(path).text for path in ("/api/v1/accounts/verify_credentials", f"/api/v1/statuses/{post.id}")]
        assert not any(key in text for text in [*told, anybody.get(f"/@{name}").text])
    export = send(browser(plaza, name), "/settings/export", {}, "/settings").content
    with zipfile.ZipFile(io.BytesIO(export)) as archive:
        whole = b"".join(archive.read(each) for each in archive.namelist())
    assert (secret in whole, key.encode() in whole) == (False, False)


def test_a_key_that_is_missing_is_counted_and_said(plaza: Site) -> None:
    """Nothing breaks: texts say that they can't be read, nothing is written in clear instead; once the key is back, all is."""
    api = plaza.client("lost")
    post = api.status_post("here and gone", media_ids=[api.media_post(picture(4), "image/jpeg", description="seen")])
    api.account_update_credentials(display_name="Somebody", note="words")
    [(name, _)] = plaza.sql(KEY, "lost")
    aside = plaza.picture_file(name).rename(plaza.folder / "aside")
    before = keys_missed(plaza)
    seen = api.status(post)
    assert keys_missed(plaza) > before
    assert GONE.replace("'", "&#39;") in seen.content.replace("&#x27;", "&#39;")
    assert (seen.media_attachments[0].description, seen.account.display_name) == (GONE, "lost")
    assert browser(plaza, "lost").get("/@lost").status_code == 200
    with plaza.http(api) as http:
        assert http.post("/api/v1/statuses", data={"status": "more"}).status_code == 503
    assert plaza.run("facts")["media"]["missing"] == [name]
    plaza.picture_file(name).mkdir()
    assert "its key is not here" in api.me().note
    assert browser(plaza, "lost").get("/@lost").status_code == 200
    plaza.picture_file(name).rmdir()
    aside.rename(plaza.picture_file(name))
    assert "it is here" in plaza.run("renew-key", "lost", fails=True)["said"]
    assert "here and gone" in api.status(post).content

    other = api.status_post("something else")
    swap = "UPDATE statuses SET sealed = (SELECT sealed FROM statuses WHERE id = %s) WHERE id = %s"
    plaza.sql(swap, int(other.id), int(post.id))
    assert "something else" not in api.status(post).content

    plaza.picture_file(name).unlink()
    assert plaza.run("renew-key", "lost")["given_up"] == name
    assert "new words" in api.status_post("new words").content
    assert (api.me().note, api.status(other).spoiler_text) == ("", "")
    assert "something else" not in api.status(other).content
    assert plaza.run("facts")["media"]["missing"] == []
    [(new, _)] = plaza.sql(KEY, "lost")
    plaza.picture_file(new).rename(aside)
    assert plaza.run("renew-key", "lost")["given_up"] == new
    send(browser(plaza, "lost"), "/settings/delete", {"password": PASSWORD})
    [(entry,)] = plaza.sql("SELECT body FROM ledger ORDER BY seq DESC LIMIT 1")
    assert {name, new} <= set(json.loads(bytes(entry))["media"])


def test_what_was_in_clear_is_sealed_beside_the_traffic(sites: Sites) -> None:
    """Rows from before there were keys: sealed once keys are safe elsewhere, the same afterwards; whose key lacks waits alone."""
    site = sites()
    site.settings["LEDGER_WAIT_S"] = "2"
    site.sql(
        "INSERT INTO accounts (id, username, password_hash, display_name, note) VALUES (1, 'early', 'x', 'Old Name', 'old note')"
    )
    site.sql(
        "INSERT INTO statuses (id, account_id, text, spoiler_text) SELECT n, 1, 'old words ' || n, 'w' FROM generate_series(1, 450) n"
    )
    site.sql(
        "INSERT INTO status_edits (id, status_id, text, spoiler_text, sensitive, created_at) VALUES (1, 1, 'older', '', false, now())"
    )
    site.sql("INSERT INTO reports (id, account_id, comment) VALUES (1, 1, 'look'), (2, NULL, 'v1, A-1')")
    site.sql(
        "INSERT INTO unsealed (name) VALUES ('statuses'), ('status_edits'), ('media'), ('accounts'), ('reports'), ('appeals')"
    )
    key = b"k" * SIZE
    lost = hashlib.sha256(key).hexdigest()
    site.sql("INSERT INTO accounts (id, username, password_hash, key_sha256) VALUES (2, 'keyless', 'x', %s)", lost)
    site.sql("UPDATE statuses SET account_id = 2, text = 'keyless' WHERE id = 40")
    site.launch()
    wait_until(site.ready, site.log)
    api = site.client("reader")
    with site.http(api) as http:
        refused = http.post("/api/v1/statuses", data={"status": "mine"})
    assert (refused.status_code, "no key for it is safe" in refused.json()["error"]) == (503, True)
    assert site.sql("SELECT count(*) FROM statuses WHERE sealed IS NOT NULL") == [(0,)]
    assert site.sql("SELECT count(*) FROM media WHERE purpose = 'key'") == [(0,)]
    site.keep()
    wait_until(site.has_keys, site.log)
    assert "mine" in api.status_post("mine").content
    wait_until(lambda: site.sql("SELECT name, after FROM unsealed") == [("statuses", 39)], site.log)
    assert site.run("facts")["in_clear"] == 1
    site.stop()
    (site.folder / "media" / lost[:2]).mkdir(exist_ok=True)
    site.picture_file(lost).write_bytes(key)
    site.start()
    wait_until(lambda: site.sql("SELECT count(*) FROM unsealed") == [(0,)], site.log)
    assert site.run("facts")["in_clear"] == 0
    left = """SELECT (SELECT count(*) FROM statuses WHERE text || spoiler_text <> '' OR sealed IS NULL),
        (SELECT count(*) FROM status_edits WHERE text <> ''), (SELECT count(*) FROM accounts WHERE display_name || note <> ''),
        (SELECT string_agg(comment, '|') FROM reports)"""
    assert site.sql(left) == [(0, 0, 0, "|v1, A-1")] or site.sql(left) == [(0, 0, 0, "v1, A-1|")]
    seen = api.status(450)
    assert (seen.spoiler_text, seen.account.display_name) == ("w", "Old Name")
    assert "old words 450" in seen.content
    assert [one.content for one in api.status_history(1)] == ["<p>older</p>"]
    wait_until(lambda: complete(site, api), site.log)
    assert [one.id for one in api.search_v2("words 7", result_type="statuses").statuses] == ["7"]
    assert [one.username for one in api.search_v2("Name", result_type="accounts").accounts] == ["early"]


def test_whoever_fills_a_site_comes_again_while_it_has_no_keys(sites: Sites) -> None:
    """A drill's users, whose first texts a busy machine refuses: each is posted once in the end."""
    site = sites()
    site.settings["LEDGER_WAIT_S"] = "2"
    site.launch()
    wait_until(site.ready, site.log)
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(_Fill(site.base, 1, ["first words"], [], 0).run)
        wait_until(lambda: re.search(r'"status": ?503', site.log()), site.log)
        site.keep()
        assert filling.result(timeout=120) == (1, 0)
    assert site.sql("SELECT count(*) FROM statuses") == [(1,)]


def complete(site: Site, api: Mastodon) -> bool:
    """Whether search says that nothing is lacking."""
    with site.http(api) as http:
        return "X-Search" not in http.get("/api/v2/search", params={"q": "words"}).headers


def test_search_is_built_anew_and_says_so(plaza: Site) -> None:
    """Emptied as Postgres does after a crash: both kinds of search say it meanwhile, and find everything once it is over."""
    api = plaza.client("seeker")
    post = api.status_post("needle in hay")
    wait_until(lambda: complete(plaza, api), plaza.log)
    with psycopg.connect(plaza.url) as holding:
        holding.execute("LOCK TABLE search_posts IN SHARE MODE")
        plaza.sql("DELETE FROM search_filled")
        assert not complete(plaza, api)
        assert "Search is being built anew" in browser(plaza, "seeker").get("/search?q=needle").text
    wait_until(lambda: complete(plaza, api), plaza.log)
    assert [one.id for one in api.search_v2("needle", result_type="statuses").statuses] == [post.id]
    api.status_delete(post)
    assert plaza.sql("SELECT count(*) FROM search_posts WHERE id = %s", int(post.id)) == [(0,)]


def test_keys_wait_for_those_who_write(sites: Sites) -> None:
    """Some are made ahead; who only reads has none; a first text takes the oldest; another one is made."""
    site = sites()
    site.start()
    wait_until(lambda: site.sql("SELECT count(*) FROM ready_keys") == [(FEWEST,)], site.log)
    [(oldest,)] = site.sql("SELECT sha256 FROM ready_keys ORDER BY id LIMIT 1")
    assert len(list((site.folder / "held/key").iterdir())) == FEWEST
    api = site.client("writer")
    assert site.sql(KEY, "writer") == []
    with site.http(api) as http:
        assert http.post("/api/v1/statuses", data={"status": "x", "media_ids[]": "1"}).status_code == 422
    assert site.sql("SELECT key_sha256, statuses_count FROM accounts WHERE username = 'writer'") == [(None, 0)]
    assert [name for name, _ in site.sql(KEY, "writer")] == [oldest]
    assert site.sql("SELECT relpersistence FROM pg_class WHERE relname = 'ready_keys'") == [("u",)]
    api.status_post("first")
    api.status_post("second")
    [(name, _)] = site.sql(KEY, "writer")
    assert name == oldest
    wait_until(lambda: site.sql("SELECT count(*) FROM ready_keys") == [(FEWEST,)], site.log)
    for path in (site.folder / "media").rglob("*"):
        if path.is_file() and path.name != name:
            path.unlink()
    other = site.client("later")
    other.status_post("with a key of their own")
    [(made, _)] = site.sql(KEY, "later")
    assert sha_of(str(site.picture_file(made))) == made
    assert site.picture_file(made).exists()
    with pytest.raises(MastodonAPIError):
        other.status_post("a character that can't be kept \x00")


def test_no_key_is_made_that_could_not_be_offered(sites: Sites) -> None:
    """Not while the database takes no writes, none beyond what is lacking, and what a failure left over is offered first."""
    site = sites()
    made = site.folder / "outbox/key"

    async def fill(times: int) -> None:
        keys = Keys(Store(site.folder / "media", site.folder / "outbox"))
        db = Database(site.url, keys)
        await db.open()
        stock = Stock(db, Gate(), keys, site.folder / "held")
        try:
            for _ in range(times):
                await stock.fill()
            for path in made.iterdir():
                (site.folder / "held/key" / path.name).touch()
            if times > 1:
                site.sql("ALTER TABLE ready_keys ADD CONSTRAINT never CHECK (false)")
                for _ in range(2):
                    with pytest.raises(psycopg.Error):
                        await stock.fill()
                site.sql("ALTER TABLE ready_keys DROP CONSTRAINT never")
                await stock.fill()
        finally:
            await db.close()

    writes = f"ALTER DATABASE {site.database} SET default_transaction_read_only"
    with psycopg.connect(site.postgres.url("postgres"), autocommit=True) as conn:
        conn.execute(f"{writes} = on".encode())
        asyncio.run(fill(1))
        assert list(made.iterdir()) == []
        conn.execute(f"{writes} = off".encode())
    asyncio.run(fill(4))
    assert {name for (name,) in site.sql("SELECT sha256 FROM ready_keys")} == {path.name for path in made.iterdir()}
    assert len(list(made.iterdir())) == FEWEST
