"""What ship does when vaults are slow, dead, or show a newer epoch."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from resilience.ports import Vault
from resilience.replication import layout, lsn, seals
from tests.replication.chaos import proxied
from tests.replication.conftest import buckets
from tests.replication.harness import Fleet, Site, wait_until
from tests.vault_servers import Store

DEAD = "http://127.0.0.1:9"


def without(path: Path, *names: str) -> Path:
    """The configuration with these vaults' endpoints dead."""
    value = json.loads(path.read_text())
    for vault in value["vaults"]:
        if vault["name"] in names:
            vault["endpoint"] = DEAD
    path.write_text(json.dumps(value))
    return path


def chunks(vault: Vault) -> list[str]:
    """Names of the chunks in one vault."""
    return [key for key in vault.list("wal/") if layout.chunk_start(key) is not None]


def sender(site: Site) -> dict[str, Any]:
    """What Postgres says of its connection to ship."""
    with site.connect() as db:
        cursor = db.execute(
            "SELECT write_lsn::text, flush_lsn::text, replay_lsn::text, sent_lsn::text, sync_state, reply_time"
            " FROM pg_stat_replication WHERE application_name = 'ship'"
        )
        row = cursor.fetchone()
    names = ("write", "flush", "replay", "sent", "sync", "reply")
    return dict(zip(names, row, strict=True)) if row else {}


def test_what_was_received_outlives_postgres(sites: Callable[..., Site], fleet: Fleet) -> None:
    """A chunk is not full yet when Postgres' disk is gone: what ship has of it by then is put all the same."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.processes[0].kill()
    acorn.processes[0].wait()
    acorn.ship(acorn.ship_config(spacing_ms=40_000))
    acorn.insert(1, 1)
    acorn.wait_confirmed()  # by a chunk that was just cut: the next one is not due for long
    acorn.insert(2, 2)
    end = acorn.wal_end()
    wait_until(lambda: lsn.parse(sender(acorn)["sent"]) >= end, acorn.told)
    assert lsn.parse(acorn.status()["confirmed_lsn"]) < end
    acorn.kill_postgres()
    wait_until(lambda: lsn.parse(acorn.status()["confirmed_lsn"]) >= end, acorn.told)


def test_a_keepalive_confirms_nothing(sites: Callable[..., Site], fleet: Fleet) -> None:
    """With too few vaults the server is answered in time and again, and never told more than k vaults hold."""
    fleet.durability = "quorum"
    acorn = sites(fleet, "acorn")
    acorn.create("wal_sender_timeout = 2s")
    acorn.ship(without(acorn.ship_config(), "cedar", "elm"))
    with acorn.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    acorn.insert(1, 20)
    end = acorn.wal_end()
    wait_until(lambda: lsn.parse(acorn.status()["vaults"]["birch"]["lsn"]) >= end, acorn.told)
    told: dict[str, Any] = {}

    def answered(since: float) -> bool:
        told.update(sender(acorn))  # nothing where a server on a busy machine has just thought that nobody answers
        return told["reply"] is not None and told["reply"].timestamp() > since and lsn.parse(told["sent"]) >= end

    wait_until(lambda: answered(0), "an answer")
    first = told["reply"].timestamp()
    wait_until(lambda: answered(first + 5), "answers to keepalives")
    assert told["flush"] is None or lsn.parse(told["flush"]) < end
    assert told["write"] == told["flush"] == told["replay"]
    assert acorn.status()["confirmed_lsn"] == "0/0", "nothing is confirmed"


def test_quorum_commits_wait_for_k_vaults(sites: Callable[..., Site], fleet: Fleet) -> None:
    """A commit hangs while one vault of k = 2 answers, and is acknowledged once there are two."""
    fleet.durability = "quorum"
    acorn = sites(fleet, "acorn")
    acorn.create()
    with acorn.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
        db.execute("ALTER SYSTEM SET synchronous_standby_names = 'ship'")
        db.execute("SELECT pg_reload_conf()")
    ship = acorn.ship(without(acorn.ship_config(), "cedar", "elm"))
    wait_until(lambda: sender(acorn), acorn.told)
    done: list[float] = []

    def commit() -> None:
        with acorn.connect() as db:
            db.execute("INSERT INTO rows VALUES (1, 'x')")
        done.append(time.monotonic())

    waiting = Thread(target=commit)
    waiting.start()
    waiting.join(3)
    assert not done
    ship.kill()
    ship.wait()
    acorn.ship(without(acorn.ship_config(), "elm"))
    waiting.join(120)
    assert done, acorn.told()
    assert acorn.wait_confirmed()


def test_a_dead_vault_delays_no_other_and_catches_up(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Two vaults confirm while the third is dead; back again it gets every chunk, byte for byte the same."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    ship = acorn.ship(without(acorn.ship_config(), "elm"))
    with acorn.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    for first in range(1, 100, 10):
        acorn.insert(first, first + 9)
        acorn.wait_confirmed()
    wait_until(lambda: acorn.status()["vaults"]["elm"]["error"], acorn.told)
    status = acorn.status()["vaults"]["elm"]
    assert status["backlog_chunks"] > 0
    assert lsn.parse(status["lsn"]) < lsn.parse(acorn.status()["confirmed_lsn"])
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    acorn.ship()
    end = acorn.wait_confirmed()
    wait_until(lambda: lsn.parse(acorn.status()["vaults"]["elm"]["lsn"]) >= end, acorn.told)
    vaults = fleet.vaults()
    wait_until(lambda: chunks(vaults["birch"]) == chunks(vaults["elm"]), "what Postgres wrote by itself since")
    assert all(vaults["birch"].get(key) == vaults["elm"].get(key) for key in chunks(vaults["elm"]))
    spooled = acorn.folder / "spool/00000001/wal"
    wait_until(lambda: len(list(spooled.glob("*[!w]"))) == 1, "what every vault has to go")


def test_idle_costs_nothing(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Without WAL there is no new chunk."""
    acorn = sites(fleet, "acorn")
    acorn.create("checkpoint_timeout = 1h", "autovacuum = off")
    acorn.ship()
    acorn.wait_confirmed()
    wait_until(lambda: acorn.status()["vaults"]["elm"]["backlog_chunks"] == 0, acorn.told)
    before = len(fleet.vaults()["elm"].list("wal/"))
    at = acorn.status()["at"]
    wait_until(lambda: acorn.status()["at"] > at + 3, "three seconds of status")
    assert len(fleet.vaults()["elm"].list("wal/")) <= before + 1  # one running-xacts record may come


def test_superseded_stops_postgres(sites: Callable[..., Site], fleet: Fleet) -> None:
    """A newer epoch in the vaults: ship stops Postgres and ends as refused."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    ship = acorn.ship()
    acorn.wait_confirmed()
    fleet.seal("birch")
    assert ship.wait(120) == 5
    wait_until(lambda: not acorn.running(), "Postgres to end")
    assert "epoch 2 lets birch write" in (acorn.folder / "ship.log").read_text()
    acorn.start()
    assert acorn.ship().wait(120) == 5, "started again it stops again"
    wait_until(lambda: not acorn.running(), "Postgres to end")


def test_pictures_of_the_last_moment_are_handed_over(sites: Callable[..., Site], stores: dict[str, Store]) -> None:
    """Requests were under way when the seal came, and the stores are slow: while Postgres ends, two vaults are given all of it."""
    with proxied(buckets(stores)) as (behind, proxies):
        fleet = replace(behind, durability="async", lease_s=15.0)
        acorn = sites(fleet, "acorn")
        acorn.create()
        ship = acorn.ship()
        acorn.wait_confirmed()
        for proxy in proxies.values():
            proxy.delay, proxy.writes_only, proxy.only = 0.3, True, layout.MEDIA
        proxies["elm"].delay = 60.0
        names = []
        for data in (os.urandom(100) for _ in range(30)):
            names.append(layout.media(hashlib.sha256(data).hexdigest()))
            (acorn.folder / "outbox" / names[-1]).write_bytes(data)
        fleet.seal("birch")
        assert ship.wait(120) == 5
        for proxy in proxies.values():
            proxy.be_well()
        assert all(fleet.vaults()[name].get(key) for key in names for name in ("birch", "cedar"))


def test_the_lease_lapses_without_vaults(sites: Callable[..., Site], fleet: Fleet) -> None:
    """In async, with too few vaults to know that no newer epoch is sealed, Postgres is stopped."""
    fleet.lease_s = 9.0
    acorn = sites(fleet, "acorn")
    acorn.create()
    acorn.ship(without(acorn.ship_config(), "elm"))
    acorn.wait_confirmed()
    acorn.wait_renewed()
    acorn.wait_renewed()
    assert acorn.running(), "one dead vault of three is no reason"
    acorn.processes[0].kill()
    acorn.processes[0].wait()
    ship = acorn.ship(without(acorn.ship_config(), "elm", "cedar"))
    assert ship.wait(120) == 5
    wait_until(lambda: not acorn.running(), "Postgres to end")
    acorn.ship()
    wait_until(acorn.running, "Postgres to be started again, once enough vaults answer")


def test_a_stopped_ship_leaves_postgres_alone(sites: Callable[..., Site], fleet: Fleet) -> None:
    """SIGTERM ends ship with status 0; Postgres goes on."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    ship = acorn.ship()
    acorn.wait_confirmed()
    ship.terminate()
    assert ship.wait(120) == 0
    assert acorn.running()


def test_ship_waits_for_postgres(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Postgres crashes and comes back: ship connects again and goes on where the spool ends."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    with acorn.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    acorn.ship()
    acorn.wait_confirmed()
    acorn.kill_postgres()
    wait_until(lambda: acorn.status().get("postgres_error"), acorn.told)
    acorn.start()
    acorn.insert(1, 10)
    acorn.wait_confirmed()
    assert acorn.status()["postgres_error"] is None


def test_a_lost_spool_is_told(sites: Callable[..., Site], fleet: Fleet) -> None:
    """A second spool under one epoch puts nothing: it could contradict what is there."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    ship = acorn.ship()
    acorn.wait_confirmed()
    ship.kill()
    ship.wait()
    (acorn.folder / "spool").rename(acorn.folder / "lost")
    before = fleet.vaults()["birch"].list("wal/")
    acorn.ship()
    wait_until(lambda: "not from this spool" in str(acorn.status().get("vaults")), acorn.told)
    assert fleet.vaults()["birch"].list("wal/") == before


def test_a_picture_that_was_handed_over_is_in_every_word_of_ship(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Whatever moment its report is from: what lies in the outbox by then and no vault has is counted, so that no drain passes over it."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    acorn.ship(without(acorn.ship_config(), "elm"))
    acorn.wait_confirmed()
    handed: list[float] = []
    told: dict[float, int] = {}

    def told_often() -> bool:
        data = os.urandom(100)
        (acorn.folder / "outbox/media" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        handed.append(time.time())
        status = acorn.status()
        told[status["at"]] = status["vaults"]["elm"]["backlog_objects"]
        return len(told) > 5

    wait_until(told_often, acorn.told)
    missed = {at: (counted, lay) for at, counted in told.items() if counted < (lay := sum(h <= at for h in handed))}
    assert missed == {}


def test_a_database_of_an_older_epoch_ships_nothing(sites: Callable[..., Site], fleet: Fleet) -> None:
    """An epoch was sealed for the very site, and the restore under it never came: what lies there is not what it was sealed for."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    ship = acorn.ship()
    acorn.wait_confirmed()
    ship.terminate()
    ship.wait()
    acorn.take(fleet.seal("acorn"))
    acorn.ship()
    wait_until(lambda: "is not the database that epoch 2" in str(acorn.status().get("postgres_error")), acorn.told)
    assert [name for vault in fleet.vaults().values() for name in vault.list("wal/00000002")] == []


def test_pictures_and_ledger(sites: Callable[..., Site], fleet: Fleet) -> None:
    """What the app leaves in the outbox is in every vault, readable by the identity alone, and comes back."""
    acorn = sites(fleet, "acorn")
    acorn.create()
    acorn.ship(without(acorn.ship_config(), "elm"))
    pictures = [os.urandom(50_000) for _ in range(20)]
    for picture in pictures:
        (acorn.folder / "outbox/media" / hashlib.sha256(picture).hexdigest()).write_bytes(picture)
    for seq in (1, 2, 3):
        (acorn.folder / f"outbox/ledger/{seq:08d}.json").write_text(json.dumps({"seq": seq}))
    wait_until(lambda: len(list((acorn.folder / "held/ledger").glob("*"))) == 3, acorn.told)
    wait_until(lambda: acorn.status()["vaults"]["elm"]["backlog_objects"] == 23, acorn.told)
    wait_until(lambda: acorn.status()["vaults"]["birch"]["backlog_objects"] == 0, acorn.told)
    acorn.processes[0].kill()
    acorn.processes[0].wait()
    acorn.ship()
    wait_until(lambda: len(fleet.vaults()["elm"].list("")) >= 25, acorn.told)
    wait_until(lambda: acorn.status()["vaults"]["elm"]["backlog_objects"] == 0, acorn.told)
    assert sorted(p.name for p in (acorn.folder / "held/ledger").iterdir()) == ["00000001", "00000002", "00000003"]
    name = hashlib.sha256(pictures[0]).hexdigest()
    sealed = fleet.vaults()["elm"].get(layout.media(name)) or b""
    assert pictures[0] not in sealed
    assert seals.decrypt(sealed, fleet.identity) == pictures[0]

    fleet.alter("elm", layout.media(name))
    fleet.vaults()["cedar"].delete(layout.media(name))
    acorn.end()
    birch = sites(fleet, "birch")
    about = birch.config(named=[hashlib.sha256(one).hexdigest() for one in pictures])
    fetched = birch.run("fetch-media", config=about)
    assert (fetched["fetched"], fetched["lost"]) == (20, [])
    assert (birch.folder / "media" / name[:2] / name).read_bytes() == pictures[0]
    assert birch.run("fetch-media", config=about)["fetched"] == 0
    assert birch.run("fetch-ledger")["entries"] == 3
    assert json.loads((birch.folder / "ledger/00000002.json").read_text()) == {"seq": 2}
    for vault in fleet.vaults().values():
        vault.delete(layout.ledger(1, 2))
    (birch.folder / "ledger/00000002.json").unlink()
    error = birch.run("fetch-ledger", fails=True)
    assert error["missing"] == "ledger entry 2"


def test_a_cancelled_wait_is_only_a_warning(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Postgres commits locally when a wait is cancelled, and says so in a warning that an app must heed."""
    fleet.durability = "quorum"
    acorn = sites(fleet, "acorn")
    acorn.create("synchronous_standby_names = 'ship'")
    notices: list[str] = []
    with acorn.connect() as db, acorn.connect() as other:
        db.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        pid = db.info.backend_pid
        waiting = Thread(target=db.execute, args=("CREATE TABLE rows (n int PRIMARY KEY)",))
        waiting.start()
        asked = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
        wait_until(lambda: other.execute(asked, (pid,)).fetchall(), "the commit to wait")
        other.execute("SELECT pg_cancel_backend(%s)", (pid,))
        waiting.join(120)
        assert other.execute("SELECT to_regclass('rows')::text").fetchone() == ("rows",), "committed all the same"
    assert "canceling wait for synchronous replication due to user request" in notices
