"""The vault set changes under a running site: no stop, no byte lost, whatever is killed on the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from threading import Event, Thread

import pytest

from resilience.replication import epoch as epochs
from resilience.replication import layout, lsn
from resilience.replication.spool import Hole
from tests.replication.conftest import buckets
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_follow import lose, promote
from tests.replication.test_lease import alone, stop
from tests.replication.test_limits import drop_slot
from tests.replication.test_ship_faults import sender
from tests.vault_proxy import proxy
from tests.vault_servers import Store, connections

HANG_S = 100.0
PATIENT = f"from resilience.adapters import gcs; gcs.TIMEOUT = (2, {2 * HANG_S})"
"""A question to a vault that hangs takes longer than anything here may, also on a machine that is busy."""
OLD, NEW = ("birch", "cedar", "elm"), ("birch", "cedar", "dover")
DIES_AT_A_GAP = """
import os
from resilience.replication.spool import Spool
told = Spool.skip
def skip(spool, until):
    told(spool, until)
    os._exit(1)
Spool.skip = skip
"""
"""Ship ends as soon as it noted that WAL is lost: no chunk lies past it."""


@pytest.fixture
def wide(stores: dict[str, Store]) -> Fleet:
    """Four vaults, three of which are in the set."""
    four = buckets(stores)
    store, spec = buckets(stores)["elm"]
    return Fleet({**four, "dover": (store, replace(spec, name="dover"))}, durability="quorum", members=OLD)


def begun(sites: Callable[..., Site], fleet: Fleet) -> Site:
    """A site whose commits wait for two vaults."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    with acorn.connect() as db:
        db.autocommit = True
        db.execute("ALTER SYSTEM SET synchronous_standby_names = 'ship'")
        db.execute("SELECT pg_reload_conf()")
    acorn.insert(1, 50)
    return acorn


def change(fleet: Fleet, *members: str) -> int:
    """Seal another set for the same host; the epoch's number."""
    fleet.members = members
    return fleet.seal("acorn", fleet.keys[len(fleet.records)]).number


def test_another_set_without_a_stop(sites: Callable[..., Site], wide: Fleet) -> None:
    """Commits go on under the new epoch, also after ship was killed; another site finds all of them without the old vault.

    Of the vault that left, no connection is kept.
    """
    acorn = begun(sites, wide)
    ship, left = acorn.processes[-1], wide.stores["birch"][1]
    assert connections(ship.pid, left)
    change(wide, "cedar", "elm", "dover")
    acorn.insert(51, 100)
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    assert set(acorn.status()["vaults"]) == {"cedar", "elm", "dover"}
    wait_until(lambda: not connections(ship.pid, left), f"{left.endpoint} is still called")
    assert ship.poll() is None
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    acorn.ship()
    acorn.insert(101, 150)
    assert acorn.status()["epoch"] == 2
    assert wide.vaults()["dover"].exists(layout.opening(2))
    acorn.kill_postgres()
    acorn.end()
    wide.stores = {name: place for name, place in wide.stores.items() if name != "birch"}
    birch = sites(wide, "birch")
    birch.run("restore")
    assert birch.run("recover")["timeline"] == 2
    assert birch.rows() == list(range(1, 151))


def test_a_standby_asks_nobody_who_left(sites: Callable[..., Site], wide: Fleet) -> None:
    """All before the change is here: it goes on with the vaults that are in the set and that it knows, and calls the other no more.

    That one hangs by then: neither the change, nor what is written, nor the end of it waits for that. It takes over with all of it,
    though the snapshot that it began with is from before the change.
    """
    acorn = begun(sites, wide)
    store, spec = wide.stores["birch"]
    with proxy(spec.endpoint) as between:
        left = replace(spec, endpoint=between.endpoint)
        places = {**{name: wide.stores[name] for name in OLD}, "birch": (store, left)}
        elm = sites(replace(wide, stores=places), "elm", standby=True)
        elm.begin_with(PATIENT)
        process = elm.follow()
        wait_until(lambda: elm.has(50), elm.told_by_standby)
        assert set(elm.standby_status()["vaults"]) == set(OLD)
        assert connections(process.pid, left)
        between.hang.clear()
        acorn.insert(51, 60)
        wait_until(lambda: elm.has(60), elm.told_by_standby, seconds=HANG_S)
        change(wide, "cedar", "elm", "dover")
        acorn.insert(61, 100)
        wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
        wait_until(lambda: set(elm.standby_status()["vaults"]) == {"cedar", "elm"}, elm.told_by_standby, seconds=HANG_S)
        acorn.insert(101, 150)
        wait_until(lambda: elm.has(150), elm.told_by_standby, seconds=HANG_S)
        assert elm.standby_status()["epoch"] == 2
        assert process.poll() is None
        process.terminate()
        assert process.wait(HANG_S) == 0
        acorn.wait_confirmed()
        lose(acorn)
        wide.stores = {name: place for name, place in wide.stores.items() if name != "birch"}
        elm.fleet = wide
        promote(elm, wide)
        assert elm.rows() == list(range(1, 151))
        between.be_well()


def test_a_set_changes_once_those_who_stay_hold_what_the_app_was_told(sites: Callable[..., Site], wide: Fleet) -> None:
    """A takedown is held by the vault that leaves and one other; the third takes WAL alone for now."""
    store, spec = wide.stores["elm"]
    with proxy(spec.endpoint) as between:
        wide.stores = {**wide.stores, "elm": (store, replace(spec, endpoint=between.endpoint))}
        between.only, between.writes_only, between.status = "ledger/", True, 503
        acorn = begun(sites, wide)
        (acorn.folder / "outbox/ledger/00000001.json").write_bytes(b"a takedown")
        wait_until((acorn.folder / "held/ledger/00000001").exists, acorn.told)
        change(wide, "cedar", "elm", "dover")
        wait_until(lambda: "hold ledger/00000001" in str(acorn.status()["turning"]), acorn.told)
        assert acorn.status()["epoch"] == 1
        between.be_well()
        wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
        acorn.insert(51, 60)
        assert wide.vaults()["elm"].exists(layout.ledger(1, 1))


def test_killed_between_seal_and_turn(sites: Callable[..., Site], wide: Fleet) -> None:
    """A ship that was dead while the set changed turns when it is started again, with the configuration it had."""
    acorn = begun(sites, wide)
    ship = acorn.processes[-1]
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    change(wide, *NEW)
    acorn.ship()
    acorn.insert(51, 80)
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    acorn.kill_postgres()
    acorn.end()
    birch = sites(wide, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, 81))


def test_an_epoch_that_is_not_sealed_for_good_turns_nobody(sites: Callable[..., Site], wide: Fleet) -> None:
    """The operator's command died after one vault: ship confirms nothing and waits; another site's epoch still wins.

    What was written since is in the vaults all the same: a row that did not wait for them is found there.
    """
    acorn = begun(sites, wide)
    record = wide.records[0]
    wide.members = NEW
    unsealed = wide.record("acorn", wide.keys[1])
    wide.vaults()["elm"].put_new(layout.epoch(2), epochs.encode(unsealed))
    wait_until(lambda: "sealed in" in str(acorn.status()["turning"]), acorn.told)
    assert acorn.status()["epoch"] == record.number
    assert "sealed in" in str(acorn.status()["alarms"])
    with acorn.connect() as db:
        db.execute("SET synchronous_commit = local")
        db.execute("INSERT INTO rows VALUES (51, 'x')")
    wide.members = OLD
    birch = sites(wide, "birch")
    assert acorn.processes[-1].wait(120) == 5
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, 52))


def test_a_set_changes_while_everybody_writes(sites: Callable[..., Site], wide: Fleet) -> None:
    """Rows that wait for no vault come faster than these take them: ship closes the epoch where it stops taking them for a moment."""
    acorn = begun(sites, wide)
    told: list[int] = []
    done = Event()

    def write() -> None:
        with acorn.connect(options="-c synchronous_commit=local") as db:
            for n in count(51):
                if done.is_set():
                    return
                db.execute("INSERT INTO rows VALUES (%s, repeat('x', 2000))", (n,))
                told.append(n)

    writer = Thread(target=write)
    writer.start()
    change(wide, *NEW)
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    done.set()
    writer.join()
    acorn.wait_confirmed()
    acorn.kill_postgres()
    acorn.end()
    birch = sites(wide, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == [*range(1, 51), *told]


def test_nobody_waits_for_the_vault_that_leaves(sites: Callable[..., Site], wide: Fleet) -> None:
    """It takes connections and says nothing: commits go on as soon as the others hold the new epoch."""
    store, spec = wide.stores["birch"]
    with proxy(spec.endpoint) as between:
        places = {**wide.stores, "birch": (store, replace(spec, endpoint=between.endpoint))}
        acorn = sites(replace(wide, stores=places), "acorn")
        acorn.begin_with(PATIENT)
        acorn.begin()
        acorn.ask_for_quorum()
        acorn.insert(1, 50)
        between.hang.clear()
        change(wide, "cedar", "elm", "dover")
        wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told, seconds=HANG_S)
        acorn.insert(51, 100)
        between.be_well()


def test_a_set_changes_once_a_vault_that_stays_has_caught_up(sites: Callable[..., Site], wide: Fleet) -> None:
    """It was left behind once, and the change was sealed all the same: what others hold is copied, and ship goes on."""
    acorn = begun(sites, wide)
    ship = acorn.processes[-1]
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    elm = wide.vaults()["elm"]
    first, second = sorted(key for key in elm.list(layout.wal(1)) if layout.chunk_start(key) is not None)[:2]
    begin, until = (lsn.show(layout.chunk_start(key) or 0) for key in (first, second))
    elm.delete(first)
    lacks = Hole(lsn.parse(begin), lsn.parse(until), 0.0)
    (acorn.folder / "spool/00000001/hole/elm").write_bytes(lacks.encode())
    acorn.ship()
    change(wide, "cedar", "elm", "dover")
    wait_until(lambda: "all that was shipped" in str(acorn.status()["turning"]), acorn.told)
    ends = ("--vault", "elm", "--from", begin, "--until", until)
    assert acorn.run("catch-up", *ends)["chunks"] == 1
    acorn.run("caught-up", *ends, config=acorn.ship_config())
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    acorn.insert(51, 60)
    assert elm.get(first) == wide.vaults()["cedar"].get(first)


def test_lost_wal_is_lost_under_another_set_too(sites: Callable[..., Site], wide: Fleet) -> None:
    """The set changes while no snapshot leads past it: nothing is confirmed under the new epoch either, before one does."""
    acorn = sites(wide, "acorn")
    acorn.begin()
    acorn.ask_for_quorum()
    acorn.insert(1, 20)
    drop_slot(acorn, acorn.processes[-1])
    acorn.ship()
    wait_until(lambda: acorn.status()["gap"], acorn.told)
    gap = acorn.status()["gap"]
    change(wide, *NEW)
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    wait_until(lambda: acorn.status()["gap"] == gap, acorn.told)
    wait_until(lambda: sender(acorn), acorn.told)
    assert sender(acorn)["flush"] is None, "nothing is confirmed"
    acorn.take(wide.records[-1])
    acorn.run("init-repo", config=acorn.config("operator"))
    acorn.read_back(acorn.run("snapshot", config=acorn.ship_config())["snapshots"])
    wait_until(lambda: acorn.status()["gap"] is None, acorn.told)
    acorn.insert(51, 60)
    acorn.kill_postgres()
    acorn.end()
    birch = sites(wide, "birch")
    birch.run("restore")
    birch.run("recover")
    assert set(range(51, 61)) <= set(birch.rows())


@pytest.mark.parametrize("lacks", ["hole", "gap"])
def test_the_operators_word_leads_past_wal_that_nobody_has(
    sites: Callable[..., Site], fleet: Fleet, lacks: str
) -> None:
    """Of the vaults that had it all none is left, or none ever had it: the host, which has it, goes on with what is left.

    Nothing is confirmed before a snapshot leads past what is lost; then another site finds every row in the one vault.
    """
    fleet.durability = "quorum"
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.ask_for_quorum()
    acorn.insert(1, 20)
    acorn.wait_everywhere()
    lost = {"hole": left_behind, "gap": threw_away}[lacks](acorn)
    alone(fleet, "elm")
    acorn.take(fleet.records[-1])
    acorn.ship(acorn.ship_config(forced=True))
    wait_until(lambda: acorn.status()["epoch"] == 2, acorn.told)
    wait_until(lambda: sender(acorn), acorn.told)
    gap = acorn.status()["gap"]
    assert (gap["from"], gap["until"]) == lost
    assert sender(acorn)["flush"] is None, "nothing is confirmed"
    acorn.run("init-repo", config=acorn.config("operator"))
    acorn.read_back(acorn.run("snapshot", config=acorn.ship_config())["snapshots"])
    wait_until(lambda: acorn.status()["gap"] is None, acorn.told)
    acorn.insert(51, 60)
    here = acorn.rows()
    acorn.kill_postgres()
    acorn.end()
    birch = sites(fleet, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == here
    assert {*range(1, 21), *range(51, 61)} <= {*here}


@pytest.mark.parametrize("lacks", ["nothing", "gap"])
def test_a_forced_set_is_forced_again_before_its_host_heard_of_it(
    sites: Callable[..., Site], fleet: Fleet, lacks: str
) -> None:
    """The machine died after the seal, and then one of the vaults: the next set can't wait for the one that never began."""
    fleet.durability = "quorum"
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.ask_for_quorum()
    acorn.insert(1, 20)
    acorn.wait_everywhere()
    lost = threw_away(acorn) if lacks == "gap" else None
    stop(acorn.processes[-1])
    alone(fleet, "cedar", "elm")
    alone(fleet, "elm")
    acorn.take(fleet.records[-1])
    forced = acorn.ship_config(forced=True)
    acorn.ship(forced)
    wait_until(lambda: acorn.status()["epoch"] == 3, acorn.told)
    if lost is not None:
        wait_until(lambda: sender(acorn), acorn.told)
        assert (acorn.status()["gap"]["from"], acorn.status()["gap"]["until"]) == lost
        acorn.run("init-repo", config=acorn.config("operator"))
        acorn.read_back(acorn.run("snapshot", config=acorn.ship_config())["snapshots"])
        wait_until(lambda: acorn.status()["gap"] is None, acorn.told)
    acorn.insert(1001, 1010)
    stop(acorn.processes[-1])
    acorn.ship(forced)
    acorn.insert(1011, 1020)
    here = acorn.rows()
    acorn.kill_postgres()
    acorn.end()
    birch = sites(fleet, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == here


def left_behind(acorn: Site) -> tuple[str, str]:
    """Ship is gone, and elm lacks a chunk that it was not given when it was left behind; its ends."""
    stop(acorn.processes[-1])
    elm = acorn.fleet.vaults()["elm"]
    first, second = sorted(key for key in elm.list(layout.wal(1)) if layout.chunk_start(key) is not None)[:2]
    hole = Hole(layout.chunk_start(first) or 0, layout.chunk_start(second) or 0, 0.0)
    elm.delete(first)
    (acorn.folder / "spool/00000001/hole/elm").write_bytes(hole.encode())
    return lsn.show(hole.start), lsn.show(hole.end)


def threw_away(acorn: Site) -> tuple[str, str]:
    """Postgres threw WAL away that ship had not taken, and ship lived to note it; its ends."""
    drop_slot(acorn, acorn.processes[-1])
    acorn.begin_with(DIES_AT_A_GAP)
    assert acorn.ship().wait(120) == 1
    del acorn.environment["PYTHONPATH"]
    gap = Hole.read(acorn.folder / "spool/00000001/gap")
    assert gap is not None
    return lsn.show(gap.start), lsn.show(gap.end)
