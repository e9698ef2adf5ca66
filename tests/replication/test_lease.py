"""The lease on real processes: it outlives ship, is held to without ship, and runs on a clock that nobody sets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from subprocess import Popen
from typing import Any

from resilience.replication import epoch as epochs
from resilience.replication import layout
from resilience.replication.control import accepts
from resilience.replication.lease import now
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_ship_faults import without

CLOCK = """
import os, time
told = time.time
def jumped():
    with open(os.environ["JUMP"]) as file:
        return told() + float(file.read() or 0)
time.time = jumped
"""
"""What the process takes for the time of day is as far off as a file says."""
DAY = 86_400
LEASE_S = 9.0
"""Each test waits for the end of one; while ship should keep it, a busy machine may let it wait for all but a third."""


def stop(process: Popen[bytes]) -> None:
    """SIGKILL, and gone."""
    process.kill()
    process.wait()


def works(site: Site, ship: Popen[bytes]) -> bool:
    """Wait until this ship says something; False where it stopped Postgres instead."""
    told = site.status()["at"]
    wait_until(lambda: ship.poll() is not None or site.status()["at"] != told or not site.running(), site.told)
    return ship.poll() is None and site.running()


def with_a_clock(site: Site) -> Path:
    """The site's processes see a time of day that jumps as this file says."""
    site.begin_with(CLOCK)
    jump = site.folder / "jump"
    jump.write_text("0")
    site.environment["JUMP"] = str(jump)
    return jump


def clock_is_off(status: Mapping[str, Any], day: float) -> bool:
    """Whether what a process says of itself is by a clock that is so many seconds off."""
    return bool(abs(status["at"] - time.time() - day) < DAY / 2)


def leased(sites: Callable[..., Site], fleet: Fleet) -> Site:
    """An async site whose lease is not long."""
    fleet.lease_s = LEASE_S
    acorn = sites(fleet, "acorn")
    acorn.create()
    return acorn


def test_a_ship_that_is_started_again_has_what_was_left_of_its_lease(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Killed and started in a loop while vaults are away, under a clock that jumps: no start lengthens the lease."""
    acorn = leased(sites, fleet)
    jump = with_a_clock(acorn)
    ship = acorn.ship()
    acorn.wait_confirmed()
    for day in (DAY, -DAY):
        jump.write_text(str(day))
        acorn.wait_renewed()
        wait_until(lambda: abs(acorn.status()["at"] - time.time()) > DAY / 2, "ship to see the jump")
        assert acorn.leased_until() <= now() + fleet.lease_s, "the time of day is no part of it"
    acorn.guard()
    stop(ship)
    ends = acorn.leased_until()
    away = without(acorn.ship_config(), "birch", "cedar", "elm")
    for day in cycle((DAY, -DAY)):
        jump.write_text(str(day))
        ship = acorn.ship(away)
        if not works(acorn, ship):
            break
        assert acorn.leased_until() <= ends, "no start lengthens it"
        stop(ship)
    wait_until(lambda: not acorn.running(), "Postgres to end")
    assert now() >= ends, "nor is it ended early"
    assert acorn.leased_until() <= ends


def test_postgres_is_stopped_where_nobody_renews(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Ship is gone for good: the guard stops Postgres once the lease has run out, and ship goes on when it is back."""
    acorn = leased(sites, fleet)
    jump = with_a_clock(acorn)
    ship = acorn.ship()
    told = acorn.ship_config()
    guard = acorn.guard(told)
    acorn.wait_confirmed()
    stop(ship)
    jump.write_text(str(-DAY))
    ends = acorn.leased_until()
    stop(guard)
    acorn.guard(told)  # it too may be killed, and is started again
    wait_until(lambda: not acorn.running(), "the guard to stop Postgres")
    assert now() >= ends
    assert acorn.leased_until() == ends
    acorn.ship()
    wait_until(lambda: accepts(acorn.dsn), "Postgres to be started again, once vaults answer")
    acorn.wait_confirmed()
    assert acorn.leased_until() > ends


def test_a_start_that_takes_longer_than_the_lease_does_not_end_it(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Vaults are asked all the while that Postgres recovers: neither the guard, which reads the note, nor ship stops it again."""
    acorn = leased(sites, fleet)
    ship = acorn.ship()
    guard = acorn.guard()
    acorn.wait_confirmed()
    stop(ship)
    wait_until(lambda: not acorn.running(), "the guard to stop Postgres")
    ends = acorn.leased_until()
    again = acorn.ship(recovers(acorn, LEASE_S + 1))
    wait_until(lambda: again.poll() is not None or (acorn.leased_until() > ends and accepts(acorn.dsn)), acorn.told)
    assert (again.poll(), guard.poll()) == (None, None), acorn.told()
    acorn.wait_confirmed()
    assert "fencing" not in (acorn.folder / "ship.log").read_text()
    assert not [*(acorn.folder / "spool").glob("lapsed*")]


def test_nobody_writes_while_ship_waits_for_answers(sites: Callable[..., Site], fleet: Fleet) -> None:
    """A ship was killed as it went on: Postgres runs, writes are still noted as stopped, and neither lease nor guard is there."""
    acorn = leased(sites, fleet)
    ship = acorn.ship()
    acorn.wait_confirmed()
    stop(ship)
    (acorn.folder / "spool/lapsed-0").touch()
    wait_until(lambda: now() > acorn.leased_until(), "the lease to run out")
    waits = acorn.ship(without(acorn.ship_config(), "birch", "cedar"))
    wait_until(lambda: not acorn.running(), "ship to stop Postgres")
    assert waits.poll() is None
    stop(waits)
    acorn.ship()
    wait_until(lambda: accepts(acorn.dsn), acorn.told)
    acorn.wait_confirmed()


def recovers(site: Site, seconds: float) -> Path:
    """Ship's configuration where Postgres takes so long to be started again."""
    told = json.loads(site.ship_config().read_text())["postgres"]
    return site.ship_config(postgres={**told, "resume": [["sleep", str(seconds)], *told["resume"]]})


def test_nobody_writes_where_no_lease_was_ever_noted(sites: Callable[..., Site], fleet: Fleet) -> None:
    """No ship comes as far as to note one: the guard begins it, once Postgres is no copy that stands by, and holds to it."""
    acorn = leased(sites, fleet)
    with acorn.connect() as db:
        db.execute("ALTER SYSTEM SET log_connections = on")
    (acorn.pg / "standby.signal").touch()
    acorn.restart()
    acorn.guard()
    asked = acorn.folder / "socket/postgres.log"
    wait_until(lambda: "replication connection authorized" in asked.read_text(), "the guard to ask")
    assert not (acorn.folder / "run/lease.json").exists(), "nobody can write yet"
    promoted = now()
    with acorn.connect() as db:
        db.execute("SELECT pg_promote()")
    wait_until(lambda: not acorn.running(), "the guard to stop Postgres")
    assert promoted + fleet.lease_s <= acorn.leased_until() <= now()
    acorn.ship()
    wait_until(lambda: accepts(acorn.dsn), "Postgres to be started again, once vaults answer")
    acorn.wait_confirmed()


def test_the_operators_word_leads_on_where_too_few_vaults_are_left(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Two of three vaults are gone and the lease ran out: the host writes again, into the third, and nothing was lost."""
    fleet.lease_s = LEASE_S
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.insert(1, 50)
    stop(acorn.processes[-1])
    lapsed = acorn.ship(without(acorn.ship_config(), "birch", "cedar"))
    acorn.insert(51, 60)
    wait_until(lambda: not acorn.running(), "the lease to run out")
    lapsed.wait(120)  # as systemd does before it starts the next
    alone(fleet, "elm")
    acorn.take(fleet.records[-1])
    acorn.ship(acorn.ship_config(forced=True))
    wait_until(lambda: accepts(acorn.dsn), acorn.told)
    acorn.insert(61, 100)
    acorn.wait_confirmed()
    assert acorn.status()["epoch"] == 2
    acorn.kill_postgres()
    acorn.end()
    birch = sites(fleet, "birch")
    birch.run("restore")
    birch.run("recover")
    assert birch.rows() == list(range(1, 101))


def alone(fleet: Fleet, *names: str) -> None:
    """The next epoch for the same host is put into these vaults, which confirm together, and no other is left."""
    fleet.stores, fleet.k, fleet.s = {name: fleet.stores[name] for name in names}, len(names), len(names)
    key = fleet.keys[len(fleet.records)]
    record = fleet.record("acorn", key)
    for vault in fleet.vaults().values():
        vault.put_new(layout.epoch(record.number), epochs.encode(record))
    fleet.records.append(record)
    fleet.keys[record.number] = key
