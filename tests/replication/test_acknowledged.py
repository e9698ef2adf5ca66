"""Faults of a primary and of its ship while somebody writes: whatever two of three vaults acknowledged is in a restore after each.

One primary has them one after another; each test can be run by itself, too. Each restore's clock is a day off.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from subprocess import Popen

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.errors import Exit
from tests.replication.chaos import Writer
from tests.replication.conftest import buckets
from tests.replication.disks import fill, tmpfs
from tests.replication.harness import Fleet, Site, pem, site_folder, wait_until
from tests.replication.test_lease import DAY, clock_is_off, stop, with_a_clock
from tests.replication.test_scratch import copy_beside
from tests.vault_servers import Store

DAYS = cycle((DAY, -DAY))


@dataclass(frozen=True)
class Primary:
    """A site whose commits wait for two of three vaults, somebody who writes there, and a host that only reads vaults."""

    site: Site
    writer: Writer
    reader: Site

    @property
    def ship(self) -> Popen[bytes]:
        """The ship that was started last."""
        return self.site.processes[-1]

    @property
    def spool(self) -> Path:
        """A disk of its own."""
        return self.site.folder / "spool"

    def acknowledges(self) -> None:
        """Twenty commits more."""
        before = len(self.writer.acknowledged)
        wait_until(lambda: len(self.writer.acknowledged) > before + 20, self.site.told)

    def is_all_restored(self) -> None:
        """A copy that `restore` makes from the vaults, as they are now, has every commit that was acknowledged by now."""
        acknowledged = set(self.writer.acknowledged)
        (self.reader.folder / "jump").write_text(str(next(DAYS)))
        _, rows = copy_beside(self.reader, "restore-at")
        missing = acknowledged - set(rows)
        assert not missing, f"acknowledged and missing: {sorted(missing)[:9]}"


@pytest.fixture(scope="module")
def primary(stores: dict[str, Store]) -> Iterator[Primary]:
    """With small disks for its database and for what waits for vaults."""
    fleet = Fleet(buckets(stores), durability="quorum")
    with site_folder() as folder:
        acorn = Site(folder, "acorn", fleet, fleet.seal("acorn"))
        reader = Site(folder, "reader", fleet, fleet.records[-1])
        for site in (acorn, reader):
            with_a_clock(site)
        acorn.pg.mkdir()
        with tmpfs(acorn.pg, "128m"), tmpfs(acorn.folder / "spool", "32m"):
            try:
                acorn.begin()
                acorn.ask_for_quorum()
                yield Primary(acorn, Writer(iter(range(1, 1 << 40))), reader)
            finally:
                acorn.end()


def its_clock_jumps(primary: Primary) -> None:
    """A day on, a day back, and right again."""
    for day in (DAY, -DAY, 0):
        (primary.site.folder / "jump").write_text(str(day))
        wait_until(lambda day=day: clock_is_off(primary.site.status(), day), primary.site.told)  # type: ignore[misc]
        primary.acknowledges()


def the_spools_disk_is_full(primary: Primary) -> None:
    """Ship says so; what was acknowledged by then is in the vaults already. With room again it goes on."""

    def is_full_and_says_so() -> bool:
        fill(primary.spool)  # also what ship gives back, until every vault has all that it could keep
        status = primary.site.status()
        waits = [vault["backlog_chunks"] for vault in status["vaults"].values()]
        return not any(waits) and "spool" in str(status["postgres_error"])

    wait_until(is_full_and_says_so, primary.site.told)
    primary.is_all_restored()
    (primary.spool / "filling").unlink()
    wait_until(lambda: primary.site.status()["postgres_error"] is None, primary.site.told)
    assert primary.site.status()["gap"] is None


def the_databases_disk_is_full(primary: Primary) -> None:
    """Postgres ends in a panic while commits wait; once there is room it is started, and ship goes on from its slot without a gap."""
    acorn = primary.site
    filling = fill(acorn.pg)
    with suppress(psycopg.Error):
        while True:
            with acorn.connect(options="-c synchronous_commit=local") as db:
                db.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1 << 20))")
    said = (acorn.folder / "socket/postgres.log").read_text()
    assert re.search(r"PANIC:  could not write to file .*No space left on device", said)
    wait_until(lambda: acorn.status()["postgres_error"], acorn.told)
    filling.unlink()
    before = len(primary.writer.acknowledged)

    def goes_on() -> bool:
        if not acorn.running():  # it may still have been at the recovery for which there was no room
            acorn.start()
        return len(primary.writer.acknowledged) > before + 20

    wait_until(goes_on, acorn.told)
    assert (acorn.status()["postgres_error"], acorn.status()["gap"]) == (None, None)
    acknowledged = set(primary.writer.acknowledged)  # more are, before the rows are here
    assert acknowledged <= set(acorn.rows())


def another_ship_and_an_older_spool(primary: Primary) -> None:
    """A second ship on the same spool is refused; a spool that was copied before puts nothing and says so."""
    acorn, kept = primary.site, primary.site.folder / "kept"
    true = primary.ship
    assert acorn.ship().wait(120) == Exit.REFUSED
    primary.acknowledges()
    stop(true)
    shutil.copytree(primary.spool, acorn.folder / "older")
    acorn.ship()
    primary.acknowledges()
    stop(primary.ship)
    _swap(primary.spool, acorn.folder / "older", kept)
    acorn.ship()
    wait_until(lambda: "rolled back" in (acorn.folder / "ship.log").read_text(), acorn.told)
    stop(primary.ship)
    _swap(primary.spool, kept, acorn.folder / "older")
    acorn.ship()


def _swap(spool: Path, new: Path, old: Path) -> None:
    """Another spool's files in place of these; the disk stays."""
    shutil.copytree(spool, old)
    for entry in spool.iterdir():
        shutil.rmtree(entry)
    shutil.copytree(new, spool, dirs_exist_ok=True)
    shutil.rmtree(new)


def its_key_is_wrong_then_missing(primary: Primary) -> None:
    """Ship starts under no other key than its epoch names, and says so: commits wait until it is back."""
    acorn, key = primary.site, primary.site.folder / "site.key"
    stop(primary.ship)
    aside = key.rename(acorn.folder / "aside.key")
    key.write_bytes(pem(Ed25519PrivateKey.generate()))
    assert acorn.ship().wait(120) == Exit.USAGE
    assert f"The key in {key} is not the one that epoch 1 names" in (acorn.folder / "ship.log").read_text()
    key.unlink()
    assert acorn.ship().wait(120) == Exit.ERROR
    assert f"The signing key {key} cannot be used" in (acorn.folder / "ship.log").read_text()
    aside.rename(key)
    acorn.ship()


def its_settings_rise(primary: Primary) -> None:
    """It is started again with more connections than when its snapshot was taken: a copy must then allow as many."""
    with primary.site.connect(options="-c synchronous_commit=local") as db:
        db.execute("ALTER SYSTEM SET max_connections = 120")
    primary.site.restart()


FAULTS: tuple[Callable[[Primary], None], ...] = (
    its_clock_jumps,
    its_key_is_wrong_then_missing,
    the_spools_disk_is_full,
    the_databases_disk_is_full,
    another_ship_and_an_older_spool,
    its_settings_rise,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_was_acknowledged_is_in_a_restore_after(fault: Callable[[Primary], None], primary: Primary) -> None:
    """Before the fault and after it; while the spool's disk is full, too."""
    with primary.writer.at(primary.site):
        primary.acknowledges()
        fault(primary)
        primary.acknowledges()
    primary.is_all_restored()
