"""The commands beside the server: facts that can be believed, errors that say what to do."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from psycopg.rows import dict_row

from resilience.plaza.__main__ import COMMANDS
from resilience.plaza.db import Connection
from resilience.plaza.erasure import Eraser, erase_dropped
from resilience.plaza.files import hand_over
from resilience.plaza.ledger import Ledger
from resilience.plaza.store import Store
from resilience.plaza.sweep import sweep_once
from tests.plaza.harness import ROOT, Site, picture, sha_of

Sites = Callable[[], Site]
TEXTS = "First text.\n%\nSecond text,\nin two lines.\n%\n" + "too long " * 100 + "\n%\nThird.\n"


def test_facts_find_what_is_missing_or_altered(sites: Sites) -> None:
    """Counts of everything, and the names of pictures that are gone or not what they were."""
    site = sites()
    site.start()
    api = site.client("somebody")
    shas = []
    for seed in range(4):
        media = api.media_post(picture(seed), "image/jpeg")
        api.status_post(f"post {seed}", media_ids=[media])
        shas.append(sha_of(media.url))
    good = site.run("facts")
    assert (good["users"], good["posts"]) == (1, 4)
    assert good["media"] == {"objects": 5, "keys": 1, "missing": [], "keys_missing": 0, "corrupt": []}
    site.picture_file(shas[0]).unlink()
    altered = bytearray(site.picture_file(shas[1]).read_bytes())
    altered[len(altered) // 2] ^= 1
    site.picture_file(shas[1]).write_bytes(bytes(altered))
    [(key,)] = site.sql("SELECT key_sha256 FROM accounts")
    site.picture_file(key).unlink()
    assert site.run("facts")["media"] == {
        "objects": 5, "keys": 1, "missing": sorted([shas[0], key]), "keys_missing": 1, "corrupt": [shas[1]]
    }  # fmt: skip


def test_the_queue_is_reached_by_a_moderator_or_not_at_all(sites: Sites) -> None:
    """Nobody moderates: not reached; somebody does: reached over HTTP; plaza is down: not reached. No token is left."""
    site = sites()
    site.start()
    api = site.client("somebody")
    assert site.run("queue") == {"moderators": 0, "open": 0, "reached": False}
    site.run("make-moderator", "somebody")
    api.report(api.me().id, comment="Look at this")
    apps = site.sql("SELECT count(*) FROM apps")
    assert site.run("queue") == {"moderators": 1, "open": 1, "reached": True}
    assert site.sql("SELECT count(*) FROM apps") == apps
    site.stop()
    assert site.run("queue") == {"moderators": 1, "open": 1, "reached": False}


def test_posts_are_taken_down_without_the_server(sites: Sites) -> None:
    """With plaza stopped: once each, with the reason in the ledger; what is gone already is no error."""
    site = sites()
    site.start()
    api = site.client("somebody")
    posts = [str(api.status_post(f"post {n}").id) for n in range(2)]
    site.stop()
    words = ("take-down", "--reason", "District Court, 12 O 34/26", "--", *posts, "17")
    assert site.run(*words)["taken_down"] == 2
    assert site.run(*words)["taken_down"] == 0
    facts = site.run("facts")
    assert (facts["posts"], facts["takedowns"]["issued"], facts["takedowns"]["resurrected"]) == (0, 2, [])


def test_bulk_load_is_the_same_for_the_same_seed(sites: Sites, tmp_path: Path) -> None:
    """Two databases from one seed have the same rows and pictures, and plaza serves them."""
    (tmp_path / "texts").write_text(TEXTS)
    (tmp_path / "pictures").mkdir()
    for seed in range(2):
        (tmp_path / "pictures" / f"{seed}.jpg").write_bytes(picture(seed, size=(400, 300)))
    found = []
    for site in (sites(), sites()):
        loaded = load(site, tmp_path, seed=7)
        assert (loaded["users"], loaded["posts"], loaded["pictures"]) == (20, 300, 10)
        rows = site.sql("SELECT id, account_id, length(sealed), in_reply_to_id FROM statuses ORDER BY id")
        found.append((rows, site.sql("SELECT id, status_id, sha256 FROM media WHERE purpose = 'post' ORDER BY id")))
        counted = "SELECT sum(statuses_count), sum(following_count) - sum(followers_count) FROM accounts"
        assert site.sql(counted) == [(300, 0)]
        [(ring, size)] = site.sql("SELECT sha256, bytes FROM media WHERE purpose = 'keyring'")
        assert (size, (site.folder / "outbox/media" / ring).stat().st_size) == (20 * 32, 20 * 32)
        assert site.run("facts")["media"] == {
            "objects": 31, "keys": 20, "missing": [], "keys_missing": 0, "corrupt": []
        }  # fmt: skip
        assert [len(list((site.folder / "outbox" / kind).iterdir())) for kind in ("media", "key")] == [11, 20]
        for key in (names := [name for (name,) in site.sql("SELECT sha256 FROM media WHERE purpose = 'key'")]):
            site.picture_file(key).unlink()
        assert site.run("facts")["media"]["keys_missing"] == 20
        assert site.run("replay-ledger")["keys_absent"] == []
        assert all(site.picture_file(key).exists() for key in names)
    assert found[0] == found[1]
    site.start()
    assert len(site.client("newcomer").timeline_public(limit=40)) == 40
    assert "somebody is here already" in load(site, tmp_path, seed=7, fails=True)["said"]


def load(site: Site, folder: Path, seed: int, *, fails: bool = False) -> dict[str, Any]:
    """Bulk-load a little."""
    sizes = ["--users", "20", "--posts", "300", "--picture-count", "10", "--seed", str(seed)]
    sources = ["--pictures", str(folder / "pictures"), "--texts", str(folder / "texts")]
    return site.run("bulk-load", *sizes, *sources, fails=fails)


def test_pictures_that_are_ready_are_taken_as_they_are(sites: Sites, tmp_path: Path) -> None:
    """Each given file is stored once, byte for byte, with its own size."""
    (tmp_path / "texts").write_text(TEXTS)
    (tmp_path / "pictures").mkdir()
    given = {picture(seed, size=(400, 300)) for seed in range(3)}
    for number, data in enumerate(sorted(given)):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(data)
    site = sites()
    words = ["--users", "5", "--posts", "30", "--seed", "1", "--texts", str(tmp_path / "texts")]
    site.run("bulk-load", *words, "--pictures", str(tmp_path / "pictures"), "--as-they-are")
    stored = site.sql("SELECT sha256, width, height FROM media WHERE purpose = 'post' ORDER BY sha256")
    assert stored == sorted((hashlib.sha256(data).hexdigest(), 400, 300) for data in given)
    assert {site.picture_file(sha).read_bytes() for sha, _, _ in stored} == given


def test_counters_stay_right(sites: Sites) -> None:
    """After posting, following, deleting and leaving, the counters are what a count would say."""
    site = sites()
    site.start()
    people = [site.client(f"person_{n}") for n in range(3)]
    for api in people:
        for other in people:
            if other is not api:
                api.account_follow(other.me())
        api.status_delete(api.status_post("gone"))
        api.status_post("stays")
    people[0].account_unfollow(people[1].me())
    site.sql("DELETE FROM accounts WHERE username = 'person_2'")
    wrong = site.sql(
        """SELECT username FROM accounts a WHERE
            statuses_count <> (SELECT count(*) FROM statuses s WHERE s.account_id = a.id)
            OR following_count <> (SELECT count(*) FROM follows f WHERE f.account_id = a.id)
            OR followers_count <> (SELECT count(*) FROM follows f WHERE f.target_id = a.id)"""
    )
    assert wrong == []


def test_unknown_people_are_not_made_moderators(sites: Sites) -> None:
    """A wrong name is an error with what to do."""
    said = sites().run("make-moderator", "nobody", fails=True)["said"]
    assert "there is no such account" in said
    assert "next: Register it first." in said


NEEDED = {
    "make-moderator": ["somebody"],
    "bulk-load": ["--users", "1", "--posts", "1", "--texts", "none"],
    "add-notice": ["--vendor", "v", "--reference", "r", "--due", "2031-01-01T00:00:00Z", "1"],
    "export-evidence": ["1", "--to", "none.zip"],
    "release-hold": ["1"],
    "renew-key": ["somebody"],
    "set-mode": ["open"],
    "take-down": ["--reason", "r", "1"],
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_without_settings_every_command_names_what_is_missing(command: str) -> None:
    """All variables that are missing, at once."""
    done = plain(command, *NEEDED.get(command, []))
    assert done.returncode == 1
    for name in ("DATABASE_URL", "MEDIA_DIR", "LEDGER_KEY", "PUBLIC_URL"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"DATABASE_URL": "postgresql:///x?host=/nowhere"}, "The database can't be used"),
        ({"LEDGER_KEY": "/nowhere/key"}, "The ledger's key can't be used"),
        ({"LEDGER_WAIT_S": "soon"}, "'soon' is not a number"),
        ({"LISTEN": "8000"}, "is not HOST:PORT"),
    ],
)
def test_wrong_settings_are_named(sites: Sites, change: dict[str, str], sentence: str) -> None:
    """What is wrong, and what to write instead."""
    site = sites()
    done = plain("replay-ledger", **{**site.settings, "DATABASE_URL": site.url, **change})
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "next: " in done.stderr


def test_settings_can_come_from_a_file(sites: Sites, tmp_path: Path) -> None:
    """The units' EnvironmentFile works for commands typed by hand, and for one that waits until it is there."""
    site = sites()
    values = {**site.settings, "DATABASE_URL": f'"{site.url}"'}
    file = tmp_path / "app.env"
    told, left = (when_told("--env-file", str(file), "facts") for _ in range(2))
    assert left.communicate("") == ("", "")
    assert left.returncode == 1
    file.write_text("# comment\n\n" + "\n".join(f"{name}={value}" for name, value in values.items()))
    done = plain("--env-file", str(file), "facts")
    assert done.returncode == 0
    assert told.communicate("go\n")[0] == done.stdout
    file.write_text("nonsense\n")
    assert "line 1 has no '='" in plain("--env-file", str(file), "facts").stderr


def when_told(*arguments: str) -> subprocess.Popen[str]:
    """A command that loads and waits for a line."""
    command = [sys.executable, "-m", "resilience.plaza", "--when-told", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def plain(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings and no others."""
    env = {"PATH": os.environ["PATH"], **settings}
    command = [sys.executable, "-m", "resilience.plaza", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=ROOT, timeout=120)


def test_an_unknown_argon2_profile_is_named(sites: Sites) -> None:
    """The server does not start with weaker passwords than were asked for."""
    site = sites()
    site.settings["ARGON2"] = "fast"
    site.launch()
    assert site.server is not None
    assert site.server.wait(timeout=120) == 1
    assert "Use one of owasp, light" in site.log()


def test_sweeping_takes_what_nobody_needs(sites: Sites) -> None:
    """A day later a picture without a post is gone, its file too, unless somebody else's post shows it."""
    site = sites()
    site.start()
    api = site.client("somebody")
    waiting, shared = (api.media_post(picture(seed), "image/jpeg") for seed in range(2))
    api.status_post("shows one", media_ids=[api.media_post(picture(1), "image/jpeg")], idempotency_key="k")
    site.sql("UPDATE media SET created_at = now() - interval '2 days' WHERE status_id IS NULL")
    site.sql("UPDATE idempotency SET created_at = now() - interval '2 days'")

    async def once() -> None:
        async with await Connection.connect(site.url, row_factory=dict_row) as conn:
            await sweep_once(conn)

    asyncio.run(once())
    folder, store = site.folder, Store(site.folder / "media", site.folder / "outbox")
    ledger = Ledger(folder / "ledger", folder / "outbox", folder / "held", folder / "ledger.key")
    seq = Eraser(site.url, ledger, store).record(erase_dropped())
    assert json.loads(ledger.path(seq).read_bytes())["media"] == sorted(sha_of(one.url) for one in (waiting, shared))
    assert not site.picture_file(sha_of(waiting.url)).exists()
    assert site.picture_file(sha_of(shared.url)).exists()
    assert site.sql("SELECT purpose FROM media ORDER BY 1") == [("key",), ("post",)]
    assert site.sql("SELECT count(*) FROM idempotency") == [(0,)]


def test_a_file_that_cannot_be_linked_is_copied_to_the_shipper(tmp_path: Path) -> None:
    """Where the kernel refuses a hard link, here to another file system, the outbox gets a copy."""
    source = tmp_path / "entry"
    source.write_bytes(b"restored")
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        outbox = Path(elsewhere) / "outbox/entry"
        assert source.stat().st_dev != Path(elsewhere).stat().st_dev
        hand_over(source, outbox)
        hand_over(source, outbox)
        assert outbox.read_bytes() == b"restored"
