"""The whole way: ship, snapshot, lose the primary, restore elsewhere, recover, ship on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

from resilience.replication import lsn
from resilience.replication.control import accepts
from resilience.replication.ship import QUIET
from tests.replication.harness import Fleet, Site, wait_until


def test_moves_twice(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Every row confirmed at the old site is at the new one, and again after a second move."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.insert(1, 300)
    ship = acorn.processes[0]
    ship.send_signal(signal.SIGKILL)
    ship.wait()
    acorn.insert(301, 400)
    acorn.ship()
    acorn.wait_confirmed()
    acorn.kill_postgres()
    acorn.end()

    birch = sites(fleet, "birch")
    merged = birch.run("restore")
    recovered = birch.run("recover")
    assert birch.rows() == list(range(1, 401))
    assert recovered["timeline"] == 2
    assert lsn.parse(recovered["end_lsn"]) >= lsn.parse(merged["confirmed_lsn"])
    assert birch.run("restore") == merged
    assert birch.run("recover") == recovered

    birch.ship()
    birch.insert(401, 500)
    birch.wait_confirmed()
    birch.run("init-repo", config=birch.config("operator"))
    taken = birch.run("snapshot", config=birch.ship_config())["snapshots"]
    assert birch.run("verify-snapshot", "--vault", "elm", "--snapshot", taken["elm"])["ok"]
    birch.insert(501, 600)
    birch.wait_confirmed()
    birch.kill_postgres()
    birch.end()

    cedar = sites(fleet, "cedar")
    assert cedar.run("restore")["snapshot"] in taken.values()
    assert cedar.run("recover")["timeline"] == 3
    assert cedar.rows() == list(range(1, 601))


def test_a_superseded_site_hands_over_its_last_rows(sites: Callable[..., Site], fleet: Fleet) -> None:
    """In async, whatever the old site acknowledged before it was stopped is at the new one.

    It knows by Postgres' own word that this was all, and need not wait whether more comes.
    """
    acorn = sites(fleet, "acorn")
    acorn.begin()
    ship = acorn.processes[0]
    acknowledged: list[int] = []

    def write() -> None:
        with suppress(psycopg.OperationalError), acorn.connect() as db:
            for row in range(1, 1_000_000):
                db.execute("INSERT INTO rows VALUES (%s)", (row,))
                acknowledged.append(row)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(acknowledged) > 300, "rows")
    birch = sites(fleet, "birch")
    writer.join(120)
    assert ship.wait(120) == 5
    assert '"whole": true' in (acorn.folder / "ship.log").read_text()
    control = subprocess.run([acorn.bin / "pg_controldata", acorn.pg], check=True, capture_output=True, text=True)
    ended = dict(line.split(":", 1) for line in control.stdout.splitlines())["Latest checkpoint location"].strip()
    birch.run("restore")
    assert birch.run("recover", config=birch.config(stood_down=ended))["skipped"] == 0
    assert set(acknowledged) <= set(birch.rows())
    assert not birch.skipped_numbers(), "it stopped in order, and nothing of it can be lacking"


def test_a_superseded_site_that_takes_long_to_shut_down_is_waited_for(sites: Callable[..., Site], fleet: Fleet) -> None:
    """One session does not end for seconds, and nothing is written meanwhile: Postgres is not killed, and ends in order."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    ship = acorn.processes[0]
    with acorn.connect() as db:
        session = db.info.backend_pid
        os.kill(session, signal.SIGSTOP)
        try:
            sites(fleet, "birch")
            wait_until(lambda: not accepts(acorn.dsn), "a shutdown")
            with pytest.raises(subprocess.TimeoutExpired):
                ship.wait(4 * QUIET)
        finally:
            os.kill(session, signal.SIGCONT)
    assert ship.wait(60) == 5
    assert '"whole": true' in (acorn.folder / "ship.log").read_text()


def test_two_moves_from_one_snapshot(sites: Callable[..., Site], lost: Fleet) -> None:
    """A site lost before its first snapshot: the chain runs through both epochs and timelines."""
    birch = sites(lost, "birch")
    birch.run("restore")
    birch.run("recover")
    birch.ship()
    birch.insert(201, 260)
    birch.wait_confirmed()
    birch.kill_postgres()
    birch.end()
    cedar = sites(lost, "cedar")
    cedar.run("restore")
    assert cedar.run("recover")["timeline"] == 3
    assert cedar.rows() == list(range(1, 261))


def test_a_promoter_that_died_before_it_opened(sites: Callable[..., Site], lost: Fleet) -> None:
    """An epoch that was sealed and nothing more is passed over. Numbers are skipped, too, where a forced takeover may lack some."""
    sites(lost, "birch")
    cedar = sites(lost, "cedar")
    forced = cedar.config(forced=True, durability="quorum")
    cedar.run("restore", config=forced)
    cedar.run("recover", config=forced)
    assert cedar.rows() == list(range(1, 201))
    assert cedar.skipped_numbers()


def test_a_promoter_that_died_after_it_opened(sites: Callable[..., Site], lost: Fleet) -> None:
    """What it recorded as the end is the end, also for the next one."""
    birch = sites(lost, "birch")
    end = birch.run("restore")["end_lsn"]
    cedar = sites(lost, "cedar")
    assert cedar.run("restore")["end_lsn"] == end
    further = lsn.show(lsn.parse(end) + 1)
    assert cedar.run("recover", config=cedar.config(stood_down=further))["skipped"] == 100_000
    assert cedar.rows() == list(range(1, 201))
    assert cedar.skipped_numbers(), "the site before said that it wrote further"
