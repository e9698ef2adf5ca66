"""Which pictures rows still name: what whoever erases copies asks before, and again after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psycopg

from resilience.plaza.erasure import PICTURES, picture_lock
from tests.plaza.harness import ROOT, Site, picture, sha_of

Sites = Callable[[], Site]
ABSENT = "0" * 64


def asked(site: Site, command: str, *shas: str) -> subprocess.Popen[str]:
    """One of the commands, with these pictures on its standard input."""
    argv = [sys.executable, "-m", "resilience.plaza", command]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=site.env, cwd=ROOT, text=True)
    assert process.stdin is not None
    process.stdin.write("\n".join(shas))
    process.stdin.close()
    process.stdin = None
    return process


def test_named_is_what_any_row_names(sites: Sites) -> None:
    """A picture in two posts is named until both are gone; what no row names is not, and only the named are shipped again."""
    site = sites()
    site.start()
    api = site.client("somebody")
    posts = []
    for text in ("first", "second"):
        media = api.media_post(picture(1), "image/jpeg")
        posts.append(api.status_post(text, media_ids=[media]).id)
        sha = sha_of(media.url)
    api.status_delete(posts[0])
    assert '"named": ["' + sha in asked(site, "named-pictures", sha, ABSENT).communicate(timeout=120)[0]
    (waiting := site.folder / "outbox/media" / sha).unlink(missing_ok=True)
    assert '"handed_over": 1' in asked(site, "ship-pictures", sha, ABSENT).communicate(timeout=120)[0]
    assert waiting.read_bytes() == site.picture_file(sha).read_bytes()
    api.status_delete(posts[1])
    assert '"named": []' in asked(site, "named-pictures", sha).communicate(timeout=120)[0]
    assert '"handed_over": 0' in asked(site, "ship-pictures", sha).communicate(timeout=120)[0]


def test_a_persons_key_is_shipped_again_as_a_picture_is(sites: Sites) -> None:
    """It is a row like theirs, and whoever asks for it by its hash puts it where a vault had lost it."""
    site = sites()
    site.start()
    site.client("somebody").status_post("sealed with my key")
    with psycopg.connect(site.url) as db:
        keys = [sha for (sha,) in db.execute("SELECT sha256 FROM media WHERE purpose IN ('key', 'keyring')")]
    assert keys
    assert f'"handed_over": {len(set(keys))}' in asked(site, "ship-pictures", *keys).communicate(timeout=120)[0]
    assert all((site.folder / "outbox/media" / sha).read_bytes() for sha in keys)


def test_an_upload_that_is_under_way_is_waited_for(sites: Sites) -> None:
    """Whoever stored a picture and did not commit its row yet is waited for: the answer has it."""
    site = sites()
    site.start()
    api = site.client("somebody")
    media = api.media_post(picture(2), "image/jpeg")
    sha = sha_of(media.url)
    with psycopg.connect(site.url) as storing:
        storing.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, picture_lock(sha)))
        storing.execute("UPDATE media SET sha256 = %s", (ABSENT,))
        storing.commit()
        storing.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, picture_lock(sha)))
        storing.execute("UPDATE media SET sha256 = %s", (sha,))
        asking = asked(site, "named-pictures", sha)
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not site.sql(waits)[0][0]:
            assert asking.poll() is None, "it did not wait"
        storing.commit()
    assert '"named": ["' + sha in asking.communicate(timeout=120)[0]
