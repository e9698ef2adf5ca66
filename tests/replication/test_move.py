"""The whole way once: ship, snapshot, lose the primary, restore elsewhere, recover, ship on."""

from __future__ import annotations

import signal
from collections.abc import Callable

from resilience.replication import lsn
from tests.replication.harness import Fleet, Site


def insert(site: Site, first: int, last: int) -> None:
    """Rows with these numbers, one commit each."""
    with site.connect() as db:
        for n in range(first, last + 1):
            db.execute("INSERT INTO rows VALUES (%s, repeat('x', 200))", (n,))


def rows(site: Site) -> list[int]:
    """Numbers of the rows that are there."""
    with site.connect() as db:
        return [n for (n,) in db.execute("SELECT n FROM rows ORDER BY n").fetchall()]


def begin(site: Site) -> None:
    """An empty database that ships, with a snapshot in every vault."""
    site.create()
    with site.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    site.ship()
    site.run("init-repo", config=site.config("operator"))
    site.wait_confirmed()
    taken = site.run("snapshot", config=site.ship_config())
    assert set(taken["snapshots"]) == {"birch", "cedar", "elm"}, taken


def test_moves_twice(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Every row confirmed at the old site is at the new one, and again after a second move."""
    acorn = sites("acorn")
    begin(acorn)
    insert(acorn, 1, 300)
    ship = acorn.processes[0]
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    insert(acorn, 301, 400)
    acorn.ship()
    acorn.wait_confirmed()
    acorn.kill_postgres()
    acorn.end()

    birch = sites("birch")
    merged = birch.run("restore")
    recovered = birch.run("recover")
    assert rows(birch) == list(range(1, 401))
    assert recovered["timeline"] == 2
    assert lsn.parse(recovered["end_lsn"]) >= lsn.parse(merged["confirmed_lsn"])
    assert birch.run("restore") == merged
    assert birch.run("recover") == recovered

    birch.ship()
    insert(birch, 401, 500)
    birch.wait_confirmed()
    birch.kill_postgres()
    birch.end()

    cedar = sites("cedar")
    cedar.run("restore")
    assert cedar.run("recover")["timeline"] == 3
    assert rows(cedar) == list(range(1, 501))
