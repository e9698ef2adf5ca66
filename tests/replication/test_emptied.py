"""A vault is emptied under a ship that runs, on real servers: it counts for nothing, and is whole again once it was filled."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from resilience.engine.put_back import put_back
from resilience.replication import layout, lsn
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_limits import measured
from tests.replication.test_scratch import copy_beside
from tests.vault_proxy import Proxy, proxy

OFTEN = "from resilience.replication import emptied; emptied.EVERY = 0.0"
"""Ship asks at each look whether its epoch is still there."""


@pytest.fixture
def quick(fleet: Fleet) -> Fleet:
    """Three vaults of which commits wait for two; ship looks into each twice a second."""
    fleet.durability, fleet.lease_s = "quorum", 1.5
    return fleet


def empty(fleet: Fleet, name: str) -> None:
    """Somebody removes everything."""
    vault = fleet.vaults()[name]
    while keys := vault.list(""):
        for key in keys:
            vault.delete(key)


def kill_ship(site: Site) -> None:
    """As if its host lost power."""
    ship = site.processes[-1]
    ship.send_signal(signal.SIGKILL)
    ship.wait()


def elm(site: Site) -> dict[str, Any]:
    """What ship says of the vault."""
    told: dict[str, Any] = site.status()["vaults"]["elm"]
    return told


def noticed(site: Site) -> dict[str, Any]:
    """Wait until ship noticed and counts elm for nothing; what it lacks."""
    wait_until(lambda: elm(site)["emptied"] and elm(site)["hole"], site.told)
    wait_until(lambda: any("elm was emptied" in alarm for alarm in site.status()["alarms"]), site.told)
    wait_until(lambda: measured(site).get("vault_emptied elm") == 1, site.told)
    return dict(elm(site)["hole"])


def a_commit_waits(site: Site, row: int, cedar: Proxy, hole: dict[str, Any]) -> None:
    """Cedar refuses what is put: birch has the row and elm was given it, and it is acknowledged only once cedar has it."""
    cedar.status, cedar.writes_only = 503, True
    writer, before = Thread(target=site.insert, args=(row, row)), site.wal_end()
    writer.start()
    wait_until(lambda: site.wal_end() > before, site.told)
    end = site.wal_end()
    wait_until(lambda: lsn.parse(site.status()["vaults"]["birch"]["lsn"]) >= end, site.told)
    wait_until(lambda: elm(site)["backlog_chunks"] == 0, site.told)
    assert lsn.parse(elm(site)["lsn"]) == lsn.parse(hole["from"])
    assert lsn.parse(site.status()["confirmed_lsn"]) < end, "one vault alone has it"
    assert writer.is_alive()
    cedar.be_well()
    writer.join()


def fill(site: Site, fleet: Fleet, hole: dict[str, Any]) -> None:
    """What `resilience snapshot` and `resilience catch-up elm` do."""
    site.run("init-repo", config=site.config("operator"))
    site.run("snapshot", config=site.ship_config())
    until = ("--until", hole["until"])
    site.run("catch-up", "--vault", "elm", "--from", hole["until"], *until)
    site.run("caught-up", "--vault", "elm", "--from", hole["from"], *until, config=site.ship_config())
    wait_until(lambda: "does not show epoch" in str(elm(site)["error"]), site.told)
    assert elm(site)["hole"] == hole, "without the epoch it counts for nothing, whoever says that it was filled"
    assert put_back(fleet.vaults(), "elm", fleet.check)
    wait_until(lambda: elm(site)["hole"] is None and not elm(site)["emptied"], site.told)


def rows_without_elm(sites: Callable[..., Site], quick: Fleet) -> list[int]:
    """What a new site has of the two other vaults."""
    quick.stores = {name: place for name, place in quick.stores.items() if name != "elm"}
    birch = sites(quick, "birch")
    birch.run("restore")
    birch.run("recover")
    return birch.rows()


def test_it_counts_for_nothing_until_it_was_filled(sites: Callable[..., Site], quick: Fleet) -> None:
    """While everybody writes: commits then wait for the two others, and once it was filled it gives the database back alone."""
    store, spec = quick.stores["cedar"]
    with proxy(spec.endpoint) as between:
        places = {**quick.stores, "cedar": (store, replace(spec, endpoint=between.endpoint))}
        acorn = sites(replace(quick, stores=places), "acorn")
        acorn.begin_with(OFTEN)
        acorn.begin()
        acorn.ask_for_quorum()
        (acorn.folder / "outbox/ledger/00000001.json").write_bytes(b"a takedown")
        acorn.insert(1, 50)
        acorn.wait_everywhere()
        writer = Thread(target=acorn.insert, args=(51, 200))
        writer.start()
        empty(quick, "elm")
        hole = noticed(acorn)
        writer.join()
        a_commit_waits(acorn, 201, between, hole)
        fill(acorn, quick, hole)
        acorn.insert(202, 250)
        acorn.wait_everywhere()
        assert quick.vaults()["elm"].exists(layout.first(1))
        acorn.kill_postgres()
        acorn.end()
    reader = sites(quick, "reader", standby=True)
    told, _ = copy_beside(reader, "verify", "--vault", "elm")
    assert (told["ok"], told["tables"]["postgres.public.rows"][0]) == (True, 250)
    assert rows_without_elm(sites, quick) == list(range(1, 251))


def test_it_is_noticed_by_a_ship_that_begins_after_it(sites: Callable[..., Site], quick: Fleet) -> None:
    """Ship was killed before; who asks the others finds every commit."""
    acorn = sites(quick, "acorn")
    acorn.begin()
    acorn.ask_for_quorum()
    acorn.insert(1, 50)
    position = acorn.wait_everywhere()
    noted = acorn.folder / "spool/00000001/at/elm"
    wait_until(lambda: noted.exists() and lsn.parse(noted.read_text()) >= position, acorn.told)
    kill_ship(acorn)
    empty(quick, "elm")
    acorn.ship()
    noticed(acorn)
    acorn.insert(51, 100)
    acorn.kill_postgres()
    acorn.end()
    assert rows_without_elm(sites, quick) == list(range(1, 101))


def test_where_too_few_others_are_whole_it_goes_on_counting(sites: Callable[..., Site], quick: Fleet) -> None:
    """Of two vaults both must take each commit: no answer of one stops writes, but it is told until the epoch is there again, by every ship."""
    quick.stores = {name: place for name, place in quick.stores.items() if name != "cedar"}
    acorn = sites(quick, "acorn")
    acorn.begin_with(OFTEN)
    acorn.begin()
    acorn.ask_for_quorum()
    acorn.insert(1, 20)
    empty(quick, "elm")
    wait_until(lambda: any("still counts" in alarm for alarm in acorn.status()["alarms"]), acorn.told)
    wait_until(lambda: quick.vaults()["elm"].exists(layout.first(1)), acorn.told)
    acorn.insert(21, 40)
    kill_ship(acorn)
    (acorn.folder / "run/ship-status.json").unlink()
    acorn.ship()
    wait_until(lambda: any("still counts" in alarm for alarm in acorn.status().get("alarms", ())), acorn.told)
    acorn.run("init-repo", config=acorn.config("operator"))
    acorn.run("snapshot", config=acorn.ship_config())
    acorn.insert(41, 60)
    given = acorn.run("verify-snapshot", "--vault", "elm", config=acorn.config("reader"))
    since = ("--from", given["needs_from"], "--until", elm(acorn)["lsn"])
    assert acorn.run("catch-up", "--vault", "elm", *since)["chunks"] == 0, "ship put all since"
    assert put_back(quick.vaults(), "elm", quick.check)
    wait_until(lambda: not elm(acorn)["emptied"] and not acorn.status()["alarms"], acorn.told)
    acorn.wait_everywhere()
    acorn.kill_postgres()
    acorn.end()
    told, _ = copy_beside(sites(quick, "reader", standby=True), "verify", "--vault", "elm")
    assert (told["ok"], told["tables"]["postgres.public.rows"][0]) == (True, 60)
