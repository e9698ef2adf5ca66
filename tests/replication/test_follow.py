"""A hot standby: fed from vaults alone, readable, promoted at once, and never further than it may be."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from resilience.replication import layout, lsn, proof, seals
from resilience.replication.fetch_media import place
from resilience.replication.metrics import PREFIX
from resilience.replication.objects import Span, is_object
from tests.replication import kills
from tests.replication.chaos import Writer, proxied
from tests.replication.conftest import buckets
from tests.replication.disks import fill, tmpfs
from tests.replication.harness import Fleet, Site, kill_all, wait_until
from tests.replication.test_lease import DAY, clock_is_off, with_a_clock
from tests.replication.test_limits import measured, secrets
from tests.vault_proxy import Proxy
from tests.vault_servers import Store

STRANGE = (
    "CREATE SEQUENCE ids",
    "CREATE SEQUENCE unused",
    "SELECT nextval('ids') FROM generate_series(1, 5)",
    "CREATE COLLATION de (provider = icu, locale = 'de')",
    "CREATE TABLE names (name text COLLATE de)",
    "CREATE INDEX ON names (name)",
    "UPDATE pg_collation SET collversion = '0' WHERE collname = 'de'",
)
"""Numbers that may have been shown, a machine that sorts otherwise."""
RAISED = {
    "max_connections": 120,
    "max_worker_processes": 11,
    "max_wal_senders": 13,
    "max_prepared_transactions": 7,
    "max_locks_per_transaction": 80,
}
"""Settings that a standby must not have lower than its primary, each past what Postgres has by itself."""

PICTURES = {
    "database": "postgres",
    "sql": "SELECT sha256 FROM pictures",
    "newer": "SELECT id, sha256 FROM pictures WHERE id > %s ORDER BY id LIMIT %s",
}


def promote(
    standby: Site, fleet: Fleet, meanwhile: Callable[[], None] = lambda: None
) -> tuple[dict[str, object], float]:
    """Stop following, seal, restore and recover; what restore said, and how long both took."""
    stop_following(standby)
    standby.take(fleet.seal(standby.name))
    began = time.monotonic()
    merged = standby.run("restore")
    meanwhile()
    standby.run("recover")
    return merged, time.monotonic() - began


def write_two_segments(site: Site) -> None:
    """Sixty rows, the last ten past a checkpoint in a later segment: snapshots begin there."""
    site.insert(1, 50)
    with site.connect() as db:
        db.execute("SELECT pg_switch_wal()")
        db.execute("CHECKPOINT")
    site.insert(51, 60)


def stop_following(standby: Site) -> None:
    """As systemd does."""
    for process in standby.processes:
        process.terminate()
        process.wait(120)


def metrics(standby: Site) -> str:
    """What follow wrote for Prometheus."""
    path = standby.folder / "run/metrics/follow.prom"
    return path.read_text() if path.exists() else ""


def keeps_what_may_be_needed(standby: Site, config: Path) -> dict[str, str]:
    """The operator proves its snapshot in two vaults: what lies before is kept no more, all since then is. Ids by vault."""
    taken = standby.snapshot_as_standby()
    fleet, folder = standby.fleet, standby.folder / "wal/objects"
    position = lsn.segment_start(min(start for _, start in _labels(fleet, taken)), 1 << 20)
    before = kept_objects(folder)
    for at, vault in enumerate(("elm", "cedar")):
        facts = {"ok": True, "snapshot": taken[vault]}
        said = proof.encode("test", vault, float(at), facts, seals.signer(fleet.operator))
        fleet.vaults()["birch"].put_new(layout.verified(vault, at), said)
    stop_following(standby)
    standby.follow(config)
    needed = lsn.show(position)
    wait_until(lambda: (standby.standby_status()["kept"] or {}).get("needed_from") == needed, standby.told_by_standby)
    kept = kept_objects(folder)
    gone = [name for name in before if name not in kept]
    assert gone
    assert all(Span.of(name).end <= position for name in gone)
    assert [name for name in kept if Span.of(name).end <= position] == []
    names = (
        "epoch 1",
        "readable 1",
        "replayed_lsn ",
        "lag_seconds",
        "lag_bytes",
        "snapshot_time_seconds",
        "kept_bytes",
    )
    wait_until(
        lambda: all(f"\nresilience_standby_{name}" in metrics(standby) for name in names), lambda: metrics(standby)
    )
    return taken


def hears_of_it(primary: Site, snapshot: str) -> None:
    """A standby's snapshot is the newest that the primary's ship tells of, once a vault gave it back."""
    wait_until(lambda: measured(primary)["snapshot_time_seconds"], primary.told)
    own = measured(primary)["snapshot_time_seconds"]
    primary.read_back({"elm": snapshot})
    wait_until(lambda: own < measured(primary)["snapshot_time_seconds"] < time.time(), primary.told)


def kept_objects(folder: Path) -> set[str]:
    """Names of the chunks that are kept, without one that is half written."""
    return {path.name for path in folder.iterdir() if is_object(path.name)}


def _labels(fleet: Fleet, taken: dict[str, str]) -> list[tuple[str, int]]:
    named = [layout.labelled(key) for key in fleet.vaults()["elm"].list(layout.LABEL)]
    return [pair for pair in named if pair is not None and pair[0] == taken["elm"]]


def add_picture(site: Site) -> str:
    """A picture in one vault, and the row that names it."""
    data = b"a picture"
    name = hashlib.sha256(data).hexdigest()
    site.fleet.vaults()["elm"].put_new(f"media/{name}", seals.encrypt(data, [site.fleet.recipient]))
    with site.connect() as db:
        db.execute("CREATE TABLE pictures (id bigint PRIMARY KEY, sha256 text)")
        db.execute("INSERT INTO pictures VALUES (7, %s)", (name,))
    return name


def knows_what_no_vault_gives(site: Site, standby: Site, picture: str) -> None:
    """Asked while both serve, by the rows of the one or of the other: a picture that is in no vault would stop a move half-way."""
    lost = hashlib.sha256(b"in no vault").hexdigest()
    with site.connect() as db:
        db.execute("INSERT INTO pictures VALUES (8, %s)", (lost,))
    bare = site.config(standby=True, media_query=PICTURES, vaults=[], sealed=[], identity=None)
    named = site.run("named", config=bare)["named"]
    assert sorted(named) == sorted([lost, picture])
    wait_until(lambda: standby.standby_status()["pictures_lacking"] == 1, standby.told_by_standby)
    for asked in (named, ()):
        config = standby.config(standby=True, media_query=PICTURES, named=asked)
        told = standby.run("fetch-media", config=config)
        assert (told["objects"], told["lost"]) == (2, [lost])
    with site.connect() as db:
        db.execute("DELETE FROM pictures WHERE id = 8")


def put_entry(fleet: Fleet, epoch: int, number: int, text: bytes) -> None:
    """A ledger entry in each vault."""
    for vault in fleet.vaults().values():
        vault.put_new(layout.ledger(epoch, number), seals.encrypt(text, [fleet.recipient]))


def follows_the_ledger(standby: Site, fleet: Fleet) -> None:
    """Two entries come while it follows."""
    put_entry(fleet, 1, 1, b"the first")
    put_entry(fleet, 1, 2, b"the second")
    wait_until(lambda: standby.standby_status()["ledger_entries"] == 2, standby.told_by_standby)


def bring_ledger(standby: Site, fleet: Fleet) -> None:
    """What was read while following is not asked for again; what lies under the epoch that is opened was put by nobody."""
    for vault in fleet.stores:
        fleet.alter(vault, layout.ledger(1, 1))
    put_entry(fleet, 2, 2, b"a thief's")
    assert standby.run("fetch-ledger") == {"entries": 2, "fetched": 2, "forked": [], "passed_over": {}}
    brought = [path.read_bytes() for path in sorted((standby.folder / "ledger").glob("*.json"))]
    assert brought == [b"the first", b"the second"]


def be_strange(site: Site) -> None:
    """What a copy must cope with."""
    with site.connect() as db:
        for statement in STRANGE:
            db.execute(statement)
        for name, value in RAISED.items():
            db.execute(f"ALTER SYSTEM SET {name} = {value}")


def lose_ship(site: Site) -> None:
    """Nothing is at risk while ship runs; without it each commit, each picture and each second since is counted."""

    def risk() -> dict[str, float]:
        told: dict[str, float] = site.run("status", config=site.ship_config())["at_risk"]
        return told

    nothing = {"seconds": 0.0, "transactions": 0, "objects": 0}
    wait_until(lambda: {**risk(), "bytes": 0} == {**nothing, "bytes": 0}, site.told)
    site.processes[0].kill()
    site.processes[0].wait()
    killed = time.time()
    with site.connect(options="-c synchronous_commit=local") as db:
        for _ in range(3):
            db.execute("SELECT pg_current_xact_id()")
        db.execute("CHECKPOINT")
    lost = risk()
    assert lost["transactions"] >= 3
    assert lost["bytes"] > 0
    assert killed - site.status()["at"] <= lost["seconds"] <= time.time() - site.status()["at"]


def lose(site: Site) -> None:
    """Power off."""
    site.kill_postgres()
    site.end()


@pytest.fixture
def faulty(stores: dict[str, Store]) -> Iterator[tuple[Fleet, dict[str, Proxy]]]:
    """Three empty vaults that can be made to fail, and no lease that ends meanwhile."""
    with proxied(buckets(stores)) as (fleet, proxies):
        yield replace(fleet, durability="async", lease_s=60.0), proxies


def follows_past_bad_vaults(acorn: Site, standby: Site, proxies: dict[str, Proxy]) -> None:
    """One vault refuses everybody, then another alters what is read: what two hold comes through all the same.

    Meanwhile follow gets SIGKILL together with its Postgres and is started again, then Postgres alone.
    """
    proxies["elm"].status = 403
    acorn.insert(61, 68)
    standby.processes[-1].kill()
    kill_all(standby.servers())
    standby.processes[-1].wait()
    acorn.insert(69, 75)
    standby.follow(standby.config(standby=True, media_query=PICTURES))
    wait_until(lambda: standby.has(75), standby.told_by_standby)
    wait_until(lambda: 'standby_vault_errors_total{vault="elm",class="' in metrics(standby), lambda: metrics(standby))
    proxies["elm"].be_well()
    proxies["birch"].flip = True
    kill_all(standby.servers())
    acorn.insert(76, 100)
    wait_until(lambda: standby.has(100), standby.told_by_standby)
    proxies["birch"].be_well()


def bring_ledger_and_ship(standby: Site, fleet: Fleet) -> None:
    """The ledger, and a ship that is started before the promotion."""
    bring_ledger(standby, fleet)
    standby.ship()
    wait_until(lambda: "waiting for the promotion" in (standby.folder / "ship.log").read_text(), "ship")


def told_all_but_secrets(standby: Site, config: Path) -> None:
    """What vaults did wrong and where this copy stands, to whoever reads its log, its status or its metrics; nothing that opens anything."""
    log = (standby.folder / "follow.log").read_text()
    assert '"vault cannot be read"' in log
    wait_until(lambda: 'errors_total{vault="birch",class="' in metrics(standby), lambda: metrics(standby))
    families = text_string_to_metric_families(metrics(standby))
    told = {s.name.removeprefix(PREFIX): s.value for family in families for s in family.samples if not s.labels}
    # its Postgres is started again where the primary's settings are higher
    wait_until(lambda: standby.standby_status()["readable"], standby.told_by_standby)
    status = standby.standby_status()
    assert (status["role"], status["follows"]) == ("standby", "acorn")
    assert told["standby_epoch"] == status["epoch"] == 1
    assert told["standby_snapshot_time_seconds"] == pytest.approx(status["snapshot_at"])
    held = secrets(config)
    assert {"of-standbys-only", standby.fleet.identity} < held
    said = log + metrics(standby) + json.dumps(status)
    assert not [secret for secret in held if secret in said]


def rot_a_header(standby: Site) -> None:
    """One digit of what a kept chunk says of its database, in the line before its body."""
    folder = standby.folder / "wal" / "objects"
    path = folder / min(kept_objects(folder))
    line, newline, body = path.read_bytes().partition(b"\n")
    at = line.index(b'"system_id":') + len(b'"system_id":"7')
    digit = b"1" if line[at : at + 1] != b"1" else b"2"
    path.write_bytes(line[:at] + digit + line[at + 1 :] + newline + body)


def goes_on_once_its_disk_has_room(acorn: Site, standby: Site) -> None:
    """Its Postgres finds no room for WAL and ends: that is said, and what to do; with room again all comes through."""

    def is_full_and_says_so() -> bool:
        fill(standby.pg)  # also what Postgres gave back meanwhile
        return "Give it room" in (standby.standby_status()["stopped"] or "")

    fill(standby.pg)
    acorn.insert(101, 105)
    with acorn.connect() as db:
        db.execute("SELECT pg_switch_wal()")
    acorn.insert(106, 110)
    wait_until(is_full_and_says_so, standby.told_by_standby)
    assert "No space left on device" in (standby.folder / "socket/postgres.log").read_text()
    (standby.pg / "filling").unlink()
    wait_until(lambda: standby.has(110), standby.told_by_standby)
    wait_until(lambda: standby.standby_status()["stopped"] is None, standby.told_by_standby)


def follows_under_a_clock_that_jumps(acorn: Site, standby: Site) -> None:
    """A day on, then a day back: what comes is shown all the same. It stays a day back."""
    for day, rows in ((DAY, 115), (-DAY, 120)):
        (standby.folder / "jump").write_text(str(day))
        wait_until(lambda day=day: clock_is_off(standby.standby_status(), day), standby.told_by_standby)  # type: ignore[misc]
        acorn.insert(rows - 4, rows)
        wait_until(lambda rows=rows: standby.has(rows), standby.told_by_standby)  # type: ignore[misc]


def follows_past_faults(acorn: Site, standby: Site, proxies: dict[str, Proxy]) -> None:
    """Of vaults, of its own disk and of its clock, one after another."""
    follows_past_bad_vaults(acorn, standby, proxies)
    goes_on_once_its_disk_has_room(acorn, standby)
    follows_under_a_clock_that_jumps(acorn, standby)


@pytest.fixture
def pair(faulty: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site]) -> Iterator[tuple[Site, Site]]:
    """A primary, and a standby whose database has a small disk of its own and whose clock can jump."""
    acorn, birch = sites(faulty[0], "acorn"), sites(faulty[0], "birch", standby=True)
    with_a_clock(birch)
    birch.pg.mkdir()
    with tmpfs(birch.pg, "256m"):
        try:
            yield acorn, birch
        finally:
            birch.end()


def test_follows_and_is_promoted(
    faulty: tuple[Fleet, dict[str, Proxy]], pair: tuple[Site, Site], sites: Callable[..., Site]
) -> None:
    """Rows can be read at the standby; it is promoted with all, and another, begun from its snapshot, follows on.

    Each commit waits for two vaults, and none that was acknowledged is missing, though the standby's disk was full for a while, and
    its clock jumped while it followed and before it took over. The new one's ship was started before it was promoted, and waited.
    """
    fleet, proxies = faulty
    acorn, birch = pair
    acorn.begin()
    acorn.ask_for_quorum()
    write_two_segments(acorn)
    cedar = sites(fleet, "cedar", standby=True)
    pictures = birch.config(standby=True, media_query=PICTURES)
    birch.follow(pictures)
    wait_until(lambda: birch.has(60), birch.told_by_standby)
    taken = keeps_what_may_be_needed(birch, pictures)
    hears_of_it(acorn, taken["elm"])
    cedar.follow()
    follows_past_faults(acorn, birch, proxies)
    follows_the_ledger(birch, fleet)
    be_strange(acorn)
    picture = add_picture(acorn)
    acorn.restart()
    wait_until(lambda: place(birch.folder / "media", picture).exists(), birch.told_by_standby)
    told_all_but_secrets(birch, pictures)
    knows_what_no_vault_gives(acorn, birch, picture)
    acorn.insert(121, 150)
    acorn.wait_confirmed()
    lose_ship(acorn)
    lose(acorn)

    promote(birch, fleet, lambda: bring_ledger_and_ship(birch, fleet))
    assert birch.rows() == list(range(1, 151))
    with birch.connect() as db:
        assert {name: int(db.execute(f"SHOW {name}").fetchone()[0]) for name in RAISED} == RAISED  # type: ignore[index]
        assert db.execute("SELECT nextval('ids') > 100000, nextval('unused') > 100000").fetchone() == (True, True)
        sorts = "SELECT collversion = pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'de'"
        assert db.execute(sorts).fetchone() == (True,)
    birch.insert(151, 200)
    wait_until(lambda: cedar.has(200) and cedar.standby_status()["follows"] == "birch", cedar.told_by_standby)
    assert cedar.standby_status()["snapshot"] in taken.values()
    birch.wait_confirmed()
    lose(birch)
    rot_a_header(cedar)
    promote(cedar, fleet)
    assert cedar.rows() == list(range(1, 201))


def lose_while_written(primary: Site, standby: Site, writer: Writer) -> None:
    """The standby can be read and follows; then ship and Postgres end in the middle of commits."""
    with writer.at(primary):
        wait_until(lambda: standby.standby_status()["readable"], standby.told_by_standby)
        before = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > before + 20, primary.told)
        primary.processes[-1].kill()
        primary.kill_postgres()
    primary.end()


def take_over_under_kills(standby: Site, fleet: Fleet, chance: random.Random) -> list[str]:
    """Each command killed three times, then run to its end; what was hit, and how far it had come."""
    stop_following(standby)
    standby.take(fleet.seal(standby.name))
    config, told, answers = standby.config(), [], []
    for command, usual in kills.USUAL_HOT.items():
        told += [kills.kill(standby, command, config, chance, usual) for _ in range(3)]
        answers.append(standby.run(command, config=config))
    kills.promoted_once(standby, answers[0], answers[1], told)
    return told


def test_a_takeover_that_is_killed_goes_on(faulty: tuple[Fleet, dict[str, Proxy]], sites: Callable[..., Site]) -> None:
    """Standbys take over one from the other; SIGKILL for their restore, recover and Postgres at moments that a seed chooses.

    Run again they go on: each copy is promoted once, from what it followed, and no commit that two vaults acknowledged is missing.
    """
    fleet, _ = faulty
    primary, chance, writer = sites(fleet, "acorn"), random.Random(5), Writer(iter(range(1, 1 << 40)))
    primary.begin()
    told: list[str] = []
    for name in ("birch", "cedar"):
        primary.ask_for_quorum()
        standby = sites(fleet, name, standby=True)
        standby.follow()
        lose_while_written(primary, standby, writer)
        told += take_over_under_kills(standby, fleet, chance)
        missing = writer.acknowledged - set(standby.rows())
        assert not missing, f"{told}: acknowledged and missing: {sorted(missing)[:9]}"
        primary = standby
        primary.ship()
    print(told)  # noqa: T201 - pytest shows it when it fails
    assert any("at restore: following" in hit for hit in told)
    assert any("at recover: restored" in hit for hit in told)
    assert not any("restoring" in hit for hit in told), "none began with a snapshot"
