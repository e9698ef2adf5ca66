"""Keyrings: made of keys that lie in none, unpacked at a new site, and gone with each person whose key was in one."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from resilience.adapters.plaza import FIRST, WANTED
from resilience.plaza.app import assemble
from resilience.plaza.erasure import Eraser, erase_account
from resilience.plaza.keys import MIME, SIZE, Keys
from resilience.plaza.ledger import Ledger
from resilience.plaza.locksmith import Locksmith
from resilience.plaza.settings import from_env
from resilience.plaza.store import Store
from resilience.replication import removed, seals
from tests.plaza.harness import Postgres, Site, wait_until
from tests.plaza.test_inuse import asked
from tests.plaza.test_migrations import bring_to

Sites = Callable[[], Site]
MOST = 4
EARLIER = "UPDATE media SET created_at = now() - interval '2 days'"
RINGS = "SELECT r.sha256, array_agg(k.sha256 ORDER BY k.id) FROM media r JOIN media k ON k.ring = r.id GROUP BY r.id ORDER BY r.id"


def writers(site: Site, numbers: range) -> list[str]:
    """People who wrote a text each; the names of their keys."""
    keys = Keys(Store(site.folder / "media", site.folder / "outbox"))
    names = [keys.make() for _ in numbers]
    for n, name in zip(numbers, names, strict=True):
        site.sql(
            "INSERT INTO accounts (id, username, password_hash, key_sha256) VALUES (%s, %s, 'x', %s)", n, f"w{n}", name
        )
        site.sql(
            "INSERT INTO media (id, account_id, sha256, mime, bytes, width, height, purpose) "
            "VALUES (%s, %s, %s, %s, %s, 0, 0, 'key')",
            n, n, name, MIME, SIZE,
        )  # fmt: skip
        sealed = keys.seal(name, f"statuses/{n}", f"words {n}", "")
        site.sql("INSERT INTO statuses (id, account_id, sealed) VALUES (%s, %s, %s)", n, n, sealed)
    return names


def work(site: Site, smiths: int = 1, meanwhile: Callable[[], object] | None = None) -> None:
    """Let so many servers' locksmiths do what there is to do, while the ledger is held elsewhere; `meanwhile`: after the first step."""

    async def run() -> None:
        plaza = assemble(from_env(site.env))
        await plaza.db.open()
        try:
            async with asyncio.timeout(300):
                await asyncio.gather(*(_done(Locksmith(plaza, MOST), meanwhile) for _ in range(smiths)))
        finally:
            await plaza.db.close()
            plaza.passwords.close()
            plaza.darkroom.close()

    site.keep()
    asyncio.run(run())


async def _done(smith: Locksmith, meanwhile: Callable[[], object] | None) -> None:
    more = await smith.step()
    if meanwhile is not None:
        await asyncio.to_thread(meanwhile)
    while more:
        more = await smith.step()
        await asyncio.sleep(0.01)


def rings(site: Site) -> dict[str, list[str]]:
    """The keys that each ring's file holds, which are those that the rows say."""
    said = dict(site.sql(RINGS))
    for ring, names in said.items():
        data = site.picture_file(ring).read_bytes()
        assert hashlib.sha256(data).hexdigest() == ring
        found = [hashlib.sha256(data[at : at + SIZE]).hexdigest() for at in range(0, len(data), SIZE)]
        assert sorted(found) == sorted(names)
    return said


def loose(site: Site) -> list[str]:
    """Keys that lie in no ring."""
    return [name for (name,) in site.sql("SELECT sha256 FROM media WHERE purpose = 'key' AND ring IS NULL ORDER BY id")]


def eraser(site: Site) -> Eraser:
    """What erases somebody there."""
    return Eraser(site.url, Ledger.of(from_env(site.env)), Store(site.folder / "media", site.folder / "outbox"))


def named(site: Site) -> dict[str, int]:
    """What `resilience erase` reads from the ledger: names, and the last entry that names each."""
    ledger = Ledger.of(from_env(site.env))
    paths, check = sorted((site.folder / "ledger").glob("*.json")), seals.verifier(ledger.public_hex)
    found: dict[str, int] = removed.read(paths, check)["pictures"]
    return found


def readable(site: Site) -> list[int]:
    """Whose texts open with the keys that are here."""
    keys = Keys(Store(site.folder / "media", site.folder / "outbox"))
    rows = site.sql(
        "SELECT s.id, a.key_sha256, s.sealed FROM statuses s JOIN accounts a ON a.id = s.account_id ORDER BY 1"
    )
    return [n for n, key, sealed in rows if keys.open(key, f"statuses/{n}", sealed) == [f"words {n}", ""]]


def earlier(site: Site, make: Callable[[], Site]) -> Site:
    """A site with this one's database and media as they are now, and later its ledger."""
    older = make()
    older.database = site.postgres.new_database(site.database)
    shutil.copytree(site.folder / "media", older.folder / "media", dirs_exist_ok=True)
    shutil.copy(site.folder / "ledger.key", older.folder / "ledger.key")
    return older


def restored(older: Site, site: Site) -> dict[str, object]:
    """What a replay says there once it has this site's ledger."""
    shutil.copytree(site.folder / "ledger", older.folder / "ledger", dirs_exist_ok=True)
    return older.run("replay-ledger")


def without(site: Site, names: list[str]) -> None:
    """Remove the files of these."""
    for name in names:
        site.picture_file(name).unlink()


def test_rings_are_made_of_keys_that_lie_in_none(sites: Sites) -> None:
    """As soon as one is full; of fewer after a day, with the keys of a small one, which goes; each is named before, and shipped."""
    site = sites()
    names = writers(site, range(1, 11))
    work(site)
    assert list(rings(site).values()) == [names[:4], names[4:8]]
    assert loose(site) == names[8:]
    assert set(rings(site)) == set(named(site)) == {path.name for path in (site.folder / "outbox/media").iterdir()}
    work(site)
    assert loose(site) == names[8:]
    site.sql(EARLIER)
    work(site)
    [*full, small] = rings(site)
    assert rings(site)[small] == names[8:]
    names += writers(site, range(11, 12))
    work(site)
    assert loose(site) == names[10:]
    site.sql(EARLIER)
    work(site)
    assert sorted(rings(site).values()) == sorted([names[:4], names[4:8], names[8:]])
    assert set(full) < set(rings(site))
    assert (site.picture_file(small).exists(), small in named(site)) == (False, True)
    assert loose(site) == []
    assert site.run("facts")["media"]["missing"] == []
    assert site.run("facts")["media"]["objects"] == 14


def test_the_server_makes_rings_and_serves_none(sites: Sites) -> None:
    """Beside the traffic; no address gives a ring, whatever it is called."""
    site = sites()
    site.start()
    site.client("somebody").status_post("words")
    site.sql(EARLIER)
    wait_until(lambda: rings(site), site.log)
    [ring] = rings(site)
    site.sql("UPDATE media SET mime = 'image/jpeg'")
    assert {httpx.get(f"{site.base}/media/{ring}.{end}").status_code for end in ("jpg", "bin", "octet-stream")} == {404}


def test_two_locksmiths_make_no_ring_twice(sites: Sites) -> None:
    """Both at the same keys: each key lies in one ring, and each ring that is here has a row."""
    site = sites()
    names = writers(site, range(1, 25))
    work(site, smiths=3)
    assert sorted(rings(site).values()) == sorted(names[at : at + MOST] for at in range(0, 24, MOST))
    assert len(list((site.folder / "outbox/media").iterdir())) == 6


def test_who_leaves_while_a_ring_is_made_is_in_none(sites: Sites) -> None:
    """Once the ledger names a ring, and before it is made: another one is made, without that key."""
    site = sites()
    names = writers(site, range(1, 6))
    work(site, meanwhile=lambda: eraser(site).record(erase_account(3)))
    assert list(rings(site).values()) == [[*names[:2], *names[3:]]]
    assert {path.name for path in (site.folder / "outbox/media").iterdir()} == set(rings(site))
    assert len(named(site)) == 3


def test_who_leaves_takes_the_ring_along(sites: Sites) -> None:
    """The entry names it and no row does; the others are read, and get a new one; an older database forgets it, too."""
    site = sites()
    names = writers(site, range(1, 7))
    work(site)
    [ring] = rings(site)
    older = earlier(site, sites)
    seq = eraser(site).record(erase_account(2))
    assert {name: named(site)[name] for name in (ring, names[1])} == {ring: seq, names[1]: seq}
    assert '"named": []' in asked(site, "named-pictures", ring, names[1]).communicate(timeout=120)[0]
    assert not site.picture_file(ring).exists()
    assert not (site.folder / "outbox/media" / ring).exists()
    assert loose(site) == [names[0], *names[2:]]
    assert readable(site) == [1, 3, 4, 5, 6]
    work(site)
    assert list(rings(site).values()) == [[names[0], *names[2:5]]]

    without(older, names[1:3])
    assert restored(older, site)["keys_absent"] == []
    assert (rings(older), older.picture_file(ring).exists(), older.picture_file(names[1]).exists()) == (
        {},
        False,
        False,
    )
    assert readable(older) == [1, 3, 4, 5, 6]
    assert older.run("facts")["media"]["missing"] == []


def test_a_ring_that_no_row_names_any_more_goes(sites: Sites) -> None:
    """Made after the moment that a restore went back to: the ledger names it, so that nobody's key stays in it."""
    site = sites()
    names = writers(site, range(1, 5))
    older = earlier(site, sites)
    work(site)
    [ring] = rings(site)
    shutil.copytree(site.folder / "media", older.folder / "media", dirs_exist_ok=True)
    assert restored(older, site)["keys_absent"] == []
    assert (loose(older), older.picture_file(ring).exists()) == (names, False)
    assert ring in named(older)
    assert '"named": []' in asked(older, "named-pictures", ring).communicate(timeout=120)[0]

    newer = earlier(site, sites)
    eraser(older).record(erase_account(3))
    restored(newer, older)
    assert (rings(newer), newer.picture_file(ring).exists(), readable(newer)) == ({}, False, [1, 2, 4])


def test_a_new_site_has_all_keys_from_rings(sites: Sites) -> None:
    """No key's file came: all come from rings as they were; what is in none, or in one that is lost or altered, is named."""
    site = sites()
    names = writers(site, range(1, 11))
    work(site)
    whole = {name: site.picture_file(name).read_bytes() for name in names}
    mode = site.picture_file(names[0]).stat().st_mode
    without(site, names)
    site.picture_file(names[1]).write_bytes(b"")
    assert site.run("facts")["media"]["keys_missing"] == 9
    assert site.run("replay-ledger")["keys_absent"] == sorted(names[8:])
    assert {name: site.picture_file(name).read_bytes() for name in names[:8]} == {
        name: whole[name] for name in names[:8]
    }
    assert {site.picture_file(name).stat().st_mode for name in names[:8]} == {mode}
    assert readable(site) == list(range(1, 9))
    assert list((site.folder / "media").rglob(".*")) == []
    lost, altered = rings(site)
    without(site, [*names[:8], lost])
    data = bytearray(site.picture_file(altered).read_bytes())
    data[SIZE + 3] ^= 1
    site.picture_file(altered).write_bytes(data)
    assert site.run("facts")["media"]["keys_missing"] == 11
    assert site.run("replay-ledger")["keys_absent"] == sorted([*names[:4], names[5], *names[8:]])
    assert readable(site) == [5, 7, 8]


def test_unpacking_brings_no_erased_key_back(sites: Sites) -> None:
    """The ring that is here has it, and the older database names it: it is gone once the ledger was replayed."""
    site = sites()
    names = writers(site, range(1, 5))
    work(site)
    older = earlier(site, sites)
    eraser(site).record(erase_account(4))
    without(older, names)
    assert restored(older, site)["keys_absent"] == []
    assert [older.picture_file(name).exists() for name in names] == [True, True, True, False]
    assert not any(path.stat().st_size > SIZE for path in (older.folder / "media").rglob("*") if path.is_file())


def test_a_ring_that_is_lost_is_made_anew(sites: Sites) -> None:
    """Not before each of its keys is here without it; and a key that is in a ring is not given up."""
    site = sites()
    names = writers(site, range(1, 5))
    work(site)
    [ring] = rings(site)
    data = site.picture_file(ring).read_bytes()
    without(site, names[:1])
    assert "it is here" in site.run("renew-key", "w1", fails=True)["said"]
    assert readable(site) == [1, 2, 3, 4]
    without(site, [ring])
    aside = site.picture_file(names[0]).rename(site.folder / "aside")
    work(site)
    assert site.sql("SELECT sha256 FROM media WHERE purpose = 'keyring'") == [(ring,)]
    aside.rename(site.picture_file(names[0]))
    work(site)
    work(site)
    assert site.picture_file(ring).read_bytes() == data
    assert list(rings(site).values()) == [names]

    without(site, [names[0], ring])
    assert site.run("renew-key", "w1")["given_up"] == names[0]
    seq = eraser(site).record(erase_account(1))
    assert (named(site)[names[0]], named(site)[ring]) == (seq, seq)


@pytest.mark.parametrize("revision", ["0051", "0055", "head"])
def test_what_comes_first_is_told_of_any_schema(postgres: Postgres, revision: str) -> None:
    """Rings and keys in none, then pictures, newest first; all others that are wanted after; before there were rings, every key is in none."""
    url = postgres.url(postgres.new_database())
    bring_to(url, revision)
    media = "INSERT INTO media (id, account_id, sha256, mime, bytes, width, height) SELECT n, 1, repeat(n::text, 64), 'x', 1, 1, 1"
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO accounts (id, username, password_hash) VALUES (1, 'w', 'x'), (2, 'v', 'x'), (3, 'u', 'x')"
        )
        conn.execute(f"{media} FROM generate_series(1, 6) n")
        if revision != "0051":
            conn.execute("UPDATE media SET account_id = id / 2, purpose = 'key' WHERE id IN (2, 4)")
            conn.execute("UPDATE media SET purpose = 'lost key' WHERE id = 3")
        if revision == "head":
            conn.execute("UPDATE media SET purpose = 'keyring', account_id = NULL WHERE id = 1")
            conn.execute("UPDATE media SET ring = 1 WHERE id = 4")
        first, wanted = ("".join(name[0] for (name,) in conn.execute(sql.encode())) for sql in (FIRST, WANTED))
    told = {"0051": ("654321", "654321"), "0055": ("24651", "42651"), "head": ("1265", "21465")}
    assert (first, wanted) == told[revision]


def test_keys_of_an_older_database_get_rings(sites: Sites, postgres: Postgres, tmp_path: Path) -> None:
    """From the schema before: each key stays whose it was, and lies in a ring after."""
    site = sites()
    site.database = postgres.new_database()
    bring_to(site.url, "0055")
    names = writers(site, range(1, 6))
    site.run("migrate")
    work(site)
    assert list(rings(site).values()) == [names[:4]]
    assert readable(site) == [1, 2, 3, 4, 5]
