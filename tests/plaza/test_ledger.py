"""The ledger: what is taken down stays down, whatever crashes and whatever is restored."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mastodon import Mastodon, MastodonNotFoundError

from resilience.adapters import plaza_client, plaza_users, plaza_workload
from resilience.errors import BrokenChain
from resilience.plaza.erasure import Eraser, erase_account, takedown
from resilience.plaza.keys import SIZE
from resilience.plaza.ledger import GENESIS, Draft, Ledger
from resilience.plaza.migrations import head
from resilience.plaza.settings import REQUIRED, from_env
from resilience.plaza.store import Store
from resilience.replication import removed, seals
from tests.plaza.harness import PASSWORD, Site, picture, sha_of, wait_until, write_key
from tests.plaza.pages import browser, send

Sites = Callable[[], Site]


def entry(site: Site, seq: int) -> dict[str, Any]:
    """A ledger entry, as it is on disk."""
    found: dict[str, Any] = json.loads(file_of(site, seq).read_bytes())
    return found


def file_of(site: Site, seq: int) -> Path:
    """An entry's file."""
    return site.folder / "ledger" / f"{seq:08d}.json"


def eraser(site: Site) -> Eraser:
    """What the server uses, without the server."""
    folder = site.folder
    ledger = Ledger(folder / "ledger", folder / "outbox", folder / "held", folder / "ledger.key")
    return Eraser(site.url, ledger, Store(folder / "media", folder / "outbox"))


def test_what_a_rehearsed_copy_writes_is_nothing_elsewhere(tmp_path: Path) -> None:
    """It goes on after the fleet's entries, with the fleet's key, and reads both; the fleet, and another copy, believe none of it."""
    write_key(tmp_path / "key", Ed25519PrivateKey.generate())

    def ledger(prefix: str) -> Ledger:
        env = {name: str(tmp_path) for name in REQUIRED} | {
            "LEDGER_KEY": str(tmp_path / "key"),
            "LEDGER_PREFIX": prefix,
        }
        return Ledger.of(from_env(env | {"LEDGER_DIR": str(tmp_path / "ledger")}))

    (tmp_path / "ledger").mkdir()
    fleet, rehearsed = ledger(""), ledger("rehearsal/r1/")
    draft = Draft("erase-pictures", {}, (), "shown by nothing any more", "plaza")
    first = fleet.append(1, GENESIS, draft)
    second = rehearsed.append(2, first.sha256, draft)
    assert (rehearsed.read().entries, rehearsed.read().broken) == ([first, second], None)
    for other in (fleet, ledger("rehearsal/r2/")):
        told = other.read()
        assert told.entries == [first]
        assert told.broken is not None
        assert "signature is not ours" in told.broken.why
    paths, check = [fleet.path(1), fleet.path(2)], seals.verifier(fleet.public_hex)
    with pytest.raises(BrokenChain, match="ledger entry 2"):
        removed.read(paths, check)
    assert removed.read(paths, seals.check_beneath(check, "rehearsal/r1/"))["entries"] == 2


@contextmanager
def crash_before_applying() -> Iterator[None]:
    """The next entry ends as a crash would end it: after the file, before the rows."""
    apply = Eraser._apply

    def crash(_: Eraser, __: object, entries: list[object]) -> None:
        if entries:
            raise ZeroDivisionError

    Eraser._apply = crash  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(ZeroDivisionError):
            yield
    finally:
        Eraser._apply = apply  # type: ignore[method-assign]


def post_with_picture(api: Mastodon, seed: int) -> tuple[str, str]:
    """A post with a picture: its id and the picture's hash."""
    media = api.media_post(picture(seed), "image/jpeg")
    return str(api.status_post(f"post {seed}", media_ids=[media]).id), sha_of(media.url)


def three_takedowns(site: Site) -> list[tuple[str, str]]:
    """A started site where three posts with pictures were taken down; (status id, sha256) of each."""
    site.start()
    moderator, author = site.moderator("moderator_one"), site.client("author_one")
    posts = [post_with_picture(author, seed) for seed in range(4)]
    for status_id, _ in posts[:3]:
        assert site.take_down(moderator, status_id).status_code == 200
    return posts[:3]


def test_a_report_ends_in_a_takedown(sites: Sites) -> None:
    """Report, queue, claim, takedown: gone for everybody, and only then is the moderator told so."""
    site = sites()
    site.start()
    moderator, author, reader = site.moderator("judge"), site.client("writer"), site.client("reader")
    status_id, sha = post_with_picture(author, 1)
    kept = author.status_post("fine")
    assert reader.report(author.me(), status_ids=[status_id], comment="look", category="violation").comment == "look"
    [report] = moderator.admin_reports()
    assert [str(status.id) for status in report.statuses] == [status_id]
    assert moderator.admin_report_assign(report).assigned_account.username == "judge"
    answer = site.take_down(moderator, status_id, "breaks rule 1")
    assert answer.json() == {"status_id": status_id, "seq": 1, "done": True}
    assert (site.folder / "held/ledger/00000001").exists()
    for who in (author, reader, moderator):
        with pytest.raises(MastodonNotFoundError):
            who.status(status_id)
    assert [s.id for s in reader.timeline_public()] == [kept.id]
    assert httpx.get(f"{site.base}/media/{sha}.jpg").status_code == 404
    assert not site.picture_file(sha).exists()
    assert not (site.folder / "outbox/media" / sha).exists()
    assert moderator.admin_reports() == []
    [done] = moderator.admin_reports(resolved=True)
    assert done.action_taken_by_account.username == "judge"


def test_moderators_can_keep_a_post(sites: Sites) -> None:
    """Resolving a report keeps the post; reopening brings the report back."""
    site = sites()
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    post = author.status_post("fine")
    moderator.report(author.me(), status_ids=[post])
    [report] = moderator.admin_reports()
    assert moderator.admin_report_resolve(report).action_taken
    assert author.status(post).id == post.id
    assert moderator.admin_reports() == []
    assert not moderator.admin_report_reopen(report).action_taken
    assert len(moderator.admin_reports()) == 1


def test_only_moderators_take_down(sites: Sites) -> None:
    """People without the role, or with a token without the scope, are refused and nothing is written."""
    site = sites()
    site.start()
    author = site.client("writer")
    post = author.status_post("mine")
    assert site.take_down(site.client("stranger"), str(post.id)).status_code == 403
    site.moderator("judge")
    narrow = site.app(["read", "write"])
    narrow.log_in("judge", PASSWORD, scopes=["read", "write"])
    assert site.take_down(narrow, str(post.id)).status_code == 403
    assert list((site.folder / "ledger").iterdir()) == []
    broad = site.app(["read", "write", "admin:write"])
    broad.log_in("judge", PASSWORD, scopes=["read", "write", "admin:write"])
    assert site.take_down(broad, str(post.id), reason=" ").status_code == 422
    assert site.take_down(broad, "123").status_code == 404
    assert list((site.folder / "ledger").iterdir()) == []


def test_entries_are_canonical_signed_and_chained(sites: Sites) -> None:
    """Each file is canonical JSON, names the hash of the one before, and verifies with our public key."""
    site = sites()
    posts = three_takedowns(site)
    public = load_pem_private_key((site.folder / "ledger.key").read_bytes(), None).public_key()
    prev = GENESIS
    for seq, (status_id, sha) in enumerate(posts, 1):
        body = file_of(site, seq).read_bytes()
        fields = entry(site, seq)
        assert body == json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        signature = bytes.fromhex(fields.pop("signature"))
        payload = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        public.verify(signature, payload)  # type: ignore[call-arg, union-attr]
        assert (fields["seq"], fields["prev"], fields["action"]) == (seq, prev, "takedown")
        assert fields["subject"]["status"] == status_id
        assert fields["media"] == [sha]
        prev = hashlib.sha256(body).hexdigest()
    facts = site.run("facts")
    assert facts["ledger"] == {"entries": 3, "head": prev, "broken": None}
    assert facts["takedowns"] == {"issued": 3, "erasures": 0, "resurrected": []}


def test_nobody_hears_done_before_it_is_held_elsewhere(sites: Sites) -> None:
    """Without the shipper the answer is 503 and the post is hidden; asking again later says done, once."""
    site = sites()
    site.settings["LEDGER_WAIT_S"] = "2"
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    post = author.status_post("bad")
    site.lose_keeper()
    answer = site.take_down(moderator, str(post.id))
    assert answer.status_code == 503
    assert "recorded here but not yet safe elsewhere" in answer.json()["error"]
    with pytest.raises(MastodonNotFoundError):
        author.status(post)
    assert (site.folder / "outbox/ledger/00000001.json").samefile(file_of(site, 1))
    site.keep()
    wait_until(lambda: site.take_down(moderator, str(post.id)).status_code == 200)
    assert not file_of(site, 2).exists()


def test_nobody_hears_gone_before_it_is_held_elsewhere(sites: Sites) -> None:
    """An account and a post are erased here at once, though nobody waits for copies of a commit; said to be only once held."""
    site = sites()
    site.settings["LEDGER_WAIT_S"] = "2"
    site.start()
    author = site.client("writer")
    post, kept = author.status_post("mine"), author.status_post("mine too")
    client = browser(site, "writer")
    site.lose_keeper()
    with site.http(author) as http:
        answer = http.delete(f"/api/v1/statuses/{post.id}")
        assert (answer.status_code, "not yet safe elsewhere" in answer.json()["error"]) == (503, True)
    answer = send(client, "/settings/delete", {"password": PASSWORD})
    assert (answer.status_code, "not yet safe elsewhere" in answer.text) == (503, True)
    assert "location" not in answer.headers
    assert httpx.get(f"{site.base}/api/v1/statuses/{kept.id}").status_code == 404
    assert [entry(site, seq)["action"] for seq in (1, 2)] == ["erase-status", "erase-account"]
    held = [site.folder / "held/ledger" / f"{seq:08d}" for seq in (1, 2)]
    assert not any(path.exists() for path in held)
    site.keep()
    wait_until(lambda: all(path.exists() for path in held))
    assert not file_of(site, 3).exists()


def report_on_two(moderator: Mastodon, author: Mastodon) -> tuple[str, list[str]]:
    """A report about two posts of somebody: its id, and theirs."""
    posts = [str(author.status_post(f"bad {n}").id) for n in range(2)]
    moderator.report(author.me(), status_ids=posts)
    [report] = [one for one in moderator.admin_reports() if [str(s.id) for s in one.statuses] == posts]
    return str(report.id), posts


def test_a_decision_on_several_posts_is_about_each_of_them(sites: Sites) -> None:
    """Slow vaults, a database that fails half-way: what is not in force is not called done, and sent again it all is."""
    site = sites()
    site.settings["LEDGER_WAIT_S"] = "0.3"
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    made = "SELECT status_id::text, seq FROM decisions WHERE report_id = %s ORDER BY seq"
    of_posts = "SELECT status_id::text, seq FROM ledger WHERE status_id::text = ANY(%s) ORDER BY seq"
    with site.http(moderator) as http:

        def decide(report: str, action: str) -> int:
            form = {"action": action, "rule": "1", "reason": "x"}
            return http.post(f"/api/v1/admin/reports/{report}/decide", data=form).status_code

        for action in ("takedown", "hide"):
            report, posts = report_on_two(moderator, author)
            site.lose_keeper()
            assert decide(report, action) == 503
            assert [httpx.get(f"{site.base}/api/v1/statuses/{post}").status_code for post in posts] == [404, 404]
            site.keep()
            wait_until(lambda r=report, a=action: decide(r, a) == 200)  # type: ignore[misc]
            assert [post for post, _ in site.sql(made, int(report))] == posts
            assert site.sql(made, int(report)) == site.sql(of_posts, posts)
        report, posts = report_on_two(moderator, author)
        with site.failing_ledger(f"NEW.status_id = {posts[1]}"):
            assert decide(report, "takedown") == 503
            assert site.sql("SELECT action_taken FROM reports WHERE id = %s", int(report)) == [(None,)]
            assert [post for post, _ in site.sql(made, int(report))] == posts[:1]
        wait_until(lambda: decide(report, "takedown") == 200)
    assert site.sql(made, int(report)) == site.sql(of_posts, posts)
    assert moderator.admin_report(report).action_taken_by_account.username == "judge"


def test_a_key_that_is_just_being_given_is_erased_too(sites: Sites) -> None:
    """Erasing an account waits for whoever names a key for it, then names that key; after a deadlock it is done all the same."""
    site = sites()
    site.sql("INSERT INTO accounts (id, username, password_hash) VALUES (7, 'writer', 'x')")
    name, tried = hashlib.sha256(b"key").hexdigest(), []

    def drafter(conn: psycopg.Connection[Any]) -> Draft | int:
        tried.append(conn)
        if len(tried) == 1:
            conn.execute("DO $$ BEGIN RAISE EXCEPTION 'meant' USING ERRCODE = 'deadlock_detected'; END $$")
        return erase_account(7)(conn)

    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(site.url) as writing:
            writing.execute("SELECT FROM accounts WHERE id = 7 FOR NO KEY UPDATE")
            writing.execute(
                "INSERT INTO media (id, account_id, sha256, mime, bytes, width, height, purpose) VALUES (1, 7, %s, '', 32, 0, 0, 'key')",
                (name,),
            )
            erasing = pool.submit(eraser(site).record, drafter)
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            wait_until(lambda: bool(site.sql(waiting)))
        assert erasing.result(timeout=120) == 1
    assert json.loads(file_of(site, 1).read_bytes())["media"] == [name]
    assert (len(tried), site.sql("SELECT id FROM accounts"), site.sql("SELECT id FROM media")) == (2, [], [])


def test_a_crash_between_file_and_database_is_repaired_at_start(sites: Sites) -> None:
    """An entry that was written but never applied is applied before anybody may read."""
    site = sites()
    site.start()
    status_id, sha = post_with_picture(site.client("writer"), 1)
    site.stop(signal.SIGKILL)

    with crash_before_applying():
        eraser(site).record(takedown(int(status_id), "reason", "1"))
    assert file_of(site, 1).exists()
    assert site.sql("SELECT count(*) FROM statuses WHERE id = %s", int(status_id)) == [(1,)]
    site.start()
    assert site.sql("SELECT count(*) FROM statuses WHERE id = %s", int(status_id)) == [(0,)]
    assert not site.picture_file(sha).exists()
    wait_until((site.folder / "held/ledger/00000001").exists)


def test_a_replay_hands_all_entries_over_durably_by_one_sync(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync takes as long as all else of a dozen entries, and a failover waits for the replay."""
    site = sites()
    folder, sync = site.folder / "outbox/ledger", os.fsync
    ledger = Ledger(site.folder / "ledger", site.folder / "outbox", site.folder / "held", site.folder / "ledger.key")
    prev = GENESIS
    for seq in range(1, 6):
        prev = ledger.append(seq, prev, Draft("erase-pictures", {}, (), "shown by nothing any more", "plaza")).sha256
    shutil.rmtree(folder)
    (site.folder / "held/ledger").mkdir(parents=True, exist_ok=True)
    (site.folder / "held/ledger/00000002").touch()
    synced: list[list[str]] = []

    def spy(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink() == folder:
            synced.append(sorted(path.name for path in folder.iterdir()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    assert eraser(site).replay().applied == 5
    assert synced == [[f"{seq:08d}.json" for seq in (1, 3, 4, 5)]]
    assert (folder / "00000005.json").samefile(file_of(site, 5))


def test_an_entry_left_over_is_applied_before_the_next(sites: Sites) -> None:
    """A running server that failed in the middle closes, repairs itself and goes on counting."""
    site = sites()
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    first, second = (str(author.status_post(text).id) for text in ("one", "two"))
    with crash_before_applying():
        eraser(site).record(takedown(int(first), "reason", "1"))
    assert site.take_down(moderator, second).json()["seq"] == 2
    with pytest.raises(MastodonNotFoundError):
        author.status(first)


def test_readiness_notices_an_entry_that_was_not_applied(sites: Sites) -> None:
    """When an entry appears in the directory, plaza closes until it is applied."""
    site = sites()
    site.start()
    first = str(site.client("writer").status_post("one").id)
    with crash_before_applying():
        eraser(site).record(takedown(int(first), "reason", "1"))
    answers = [httpx.get(site.base + "/readyz").status_code]
    assert answers == [503]
    wait_until(site.ready)
    assert site.sql("SELECT seq FROM ledger_position") == [(1,)]


def test_an_older_database_loses_what_was_taken_down(sites: Sites, tmp_path: Path) -> None:
    """Restore a database from before the takedowns, with all pictures back: replay removes them again."""
    site = sites()
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    leaver = site.client("leaver")
    posts = [post_with_picture(author, seed) for seed in range(3)]
    kept = post_with_picture(author, 9)
    edited = post_with_picture(author, 12)
    author.account_update_credentials(avatar=picture(13), avatar_mime_type="image/jpeg")
    post_with_picture(leaver, 11)
    older = site.postgres.new_database  # the database as it is now is the template
    shutil.copytree(site.folder / "media", tmp_path / "older-media")
    site.stop()
    before = older(site.database)
    site.start()
    for status_id, _ in posts[:2]:
        assert site.take_down(moderator, status_id).status_code == 200
    author.status_delete(posts[2][0])
    leave(site, "leaver")
    author.status_update(edited[0], "without its picture", media_ids=[])
    with site.http(author) as http:
        assert http.delete("/api/v1/profile/avatar").status_code == 200
    site.stop()

    site.database = before
    shutil.copytree(tmp_path / "older-media", site.folder / "media", dirs_exist_ok=True)
    assert site.run("facts")["takedowns"] == {
        "issued": 2, "erasures": 2, "resurrected": sorted([*(s for s, _ in posts), leaver_post(site)])
    }  # fmt: skip
    replayed = site.run("replay-ledger")
    assert (replayed["entries"], replayed["applied"], replayed["position"]) == (6, 6, 6)
    facts = site.run("facts")
    assert facts["takedowns"]["resurrected"] == []
    assert facts["media"] == {"objects": 2, "keys": 1, "missing": [], "keys_missing": 0, "corrupt": []}
    assert facts["users"] == 2
    stored = {path.name for path in (site.folder / "media").rglob("*") if path.is_file() and path.stat().st_size > SIZE}
    assert stored == {kept[1]}
    assert site.sql("SELECT avatar FROM accounts WHERE avatar IS NOT NULL") == []
    assert site.run("replay-ledger")["applied"] == 0


def leave(site: Site, name: str) -> None:
    """Delete an account by its page."""
    answer = send(browser(site, name), "/settings/delete", {"password": PASSWORD})
    assert answer.headers["location"] == "/?said=gone"


def leaver_post(site: Site) -> str:
    """The post of whoever left."""
    sql = "SELECT s.id FROM statuses s JOIN accounts a ON a.id = s.account_id WHERE a.username = 'leaver'"
    return str(site.sql(sql)[0][0])


def test_pictures_that_come_back_are_removed_again(sites: Sites) -> None:
    """A restore that brings a removed picture's file back: replay removes it, though the rows are right."""
    site = sites()
    [(_, sha), *_] = three_takedowns(site)
    site.stop()
    site.picture_file(sha).parent.mkdir(exist_ok=True)
    site.picture_file(sha).write_bytes(b"back again")
    assert site.run("replay-ledger")["applied"] == 0
    assert not site.picture_file(sha).exists()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda body: body.replace(b'"reason":"a', b'"reason":"A'), "signature is not ours"),
        (lambda body: body[:-20], "can't be read"),
        (lambda body: body.replace(b'","by"', b'", "by"').replace(b'":"takedown"', b'": "takedown"'), "canonical"),
        (lambda _: b"", "can't be read"),
        (lambda body: body.replace(b'"seq":2', b'"seq":3'), "signature is not ours"),
    ],
)
def test_a_tampered_entry_stops_the_replay(sites: Sites, harm: Callable[[bytes], bytes], why: str) -> None:
    """Exit 1 with what, why, next; the good entries before it are applied, nothing beyond, and plaza stays closed."""
    site = sites()
    three_takedowns(site)
    site.stop()
    file_of(site, 2).write_bytes(harm(file_of(site, 2).read_bytes()))
    site.sql("DELETE FROM ledger")
    failed = site.run("replay-ledger", fails=True)
    assert failed["status"] == 1
    assert "Ledger entry 2 can't be trusted" in failed["said"]
    assert why in failed["said"]
    assert "next: " in failed["said"]
    assert site.sql("SELECT seq FROM ledger_position") == [(1,)]
    site.launch()
    wait_until(lambda: "can't be trusted" in site.log(), site.log)
    assert httpx.get(site.base + "/").status_code == 503
    assert httpx.get(site.base + "/healthz").status_code == 200
    assert not site.ready()


def test_a_missing_entry_or_a_foreign_key_stops_the_replay(sites: Sites) -> None:
    """A gap in the chain, and a chain signed by somebody else, are refused."""
    site = sites()
    three_takedowns(site)
    site.stop()
    site.sql("DELETE FROM ledger")
    body = file_of(site, 2).read_bytes()
    file_of(site, 2).unlink()
    assert "Ledger entry 2 is missing" in site.run("replay-ledger", fails=True)["said"]
    file_of(site, 2).write_bytes(body)
    write_key(site.folder / "ledger.key", Ed25519PrivateKey.generate())
    assert "entry 1 can't be trusted" in site.run("replay-ledger", fails=True)["said"]


def test_a_swapped_chain_is_refused(sites: Sites) -> None:
    """Two valid entries in each other's place don't pass: each names its number and the one before."""
    site = sites()
    three_takedowns(site)
    site.stop()
    site.sql("DELETE FROM ledger")
    two, three = file_of(site, 2).read_bytes(), file_of(site, 3).read_bytes()
    file_of(site, 2).write_bytes(three)
    file_of(site, 3).write_bytes(two)
    assert "it says it is 3" in site.run("replay-ledger", fails=True)["said"]


def test_the_database_gives_back_an_entry_that_the_directory_lost(sites: Sites) -> None:
    """The database may come back newer than the ledger's copies: its entries are put back and shipped."""
    site = sites()
    three_takedowns(site)
    site.stop()
    lost = file_of(site, 3).read_bytes()
    file_of(site, 3).unlink()
    (site.folder / "held/ledger/00000003").unlink()
    assert site.run("replay-ledger")["entries"] == 3
    assert file_of(site, 3).read_bytes() == lost
    site.keep()
    wait_until((site.folder / "held/ledger/00000003").exists)


def test_two_histories_are_not_mixed(sites: Sites) -> None:
    """A directory that differs from what this database applied is refused, and nothing changes."""
    site = sites()
    three_takedowns(site)
    site.stop()
    site.sql("UPDATE ledger SET body = body || ' '::bytea WHERE seq = 2")
    assert "differs from the one this database applied" in site.run("replay-ledger", fails=True)["said"]


def test_a_database_without_tables_says_what_to_do(sites: Sites) -> None:
    """Replaying on a new database asks to migrate first."""
    site = sites()
    site.database = site.postgres.new_database()
    assert "Run migrate first" in site.run("replay-ledger", fails=True)["said"]
    assert site.run("migrate") == {"revision": head()}
    assert site.run("replay-ledger") == {"entries": 0, "applied": 0, "head": GENESIS, "position": 0, "keys_absent": []}


def test_takedowns_at_the_same_time_make_one_chain(sites: Sites) -> None:
    """Ten moderators' clicks at once: ten entries in a row, each post gone."""
    site = sites()
    site.start()
    moderator, author = site.moderator("judge"), site.client("writer")
    posts = [str(author.status_post(f"n{number}").id) for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda post: site.take_down(moderator, post), posts))
    assert sorted(answer.json()["seq"] for answer in answers) == list(range(1, 11))
    site.run("replay-ledger")
    with psycopg.connect(site.url) as conn:
        assert conn.execute("SELECT count(*) FROM statuses").fetchone() == (0,)


def test_a_drills_users_take_down_the_oldest_and_find_them_gone(sites: Sites) -> None:
    """What nobody of a drill's users wrote: the oldest post, then the next one, while newer ones come; users look for both by name."""
    site = sites()
    site.start()
    name, password = plaza_workload.user(0)
    author = plaza_client.Client(site.base)
    author.register(name, password)
    site.run("make-moderator", name)
    posts = [author.post(f"post {number}")["id"] for number in range(3)]
    taken = plaza_workload.take_down({"base": site.base, "count": 1})["taken_down"]
    posts.append(author.post("newer")["id"])
    taken += plaza_workload.take_down({"base": site.base, "count": 1})["taken_down"]
    assert taken == posts[:2]
    looked = plaza_users.missing({"base": site.base, "ids": posts})
    assert looked == {"missing": sorted(taken), "unchecked": []}
    assert site.run("facts")["takedowns"]["issued"] == 2
