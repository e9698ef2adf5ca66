"""What piles up for a vault that does not take it, on real servers behind a proxy that misbehaves."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from resilience.adapters.rules import for_postgres
from resilience.model import Replication
from resilience.replication import lsn
from resilience.replication.metrics import PREFIX
from tests.replication.chaos import Writer
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_lease import DAY, stop, with_a_clock
from tests.replication.test_ship_faults import chunks
from tests.vault_proxy import Proxy, proxy

PRICES = {"birch": 5.0, "cedar": 0.4}
"""Of 1,000 PUTs; elm's is not known."""
LOCAL = "-c synchronous_commit=local"
"""Of whoever waits for no vault."""

MORE_MEMORY = 48 << 20
"""What ship takes at most beyond what it has when it begins, with three vaults, as its README says."""


@pytest.fixture
def elm(fleet: Fleet) -> Iterator[Proxy]:
    """The proxy before vault elm."""
    store, _ = fleet.stores["elm"]
    with proxy(store.endpoint) as made:
        yield made


def behind(path: Path, elm: Proxy, **changes: Any) -> Path:
    """The configuration with elm's endpoint behind the proxy."""
    value = json.loads(path.read_text()) | changes
    for vault in value["vaults"]:
        if vault["name"] == "elm":
            vault["endpoint"] = elm.endpoint
    path.write_text(json.dumps(value))
    return path


def noise(site: Site, rows: int) -> None:
    """Rows that do not compress."""
    with site.connect() as db:
        db.execute(
            "INSERT INTO noise SELECT string_agg(encode(sha512(convert_to(n::text || m::text || clock_timestamp()::text,"
            " 'utf8')), 'base64'), '') FROM generate_series(1, %s) n, generate_series(1, 400) m GROUP BY n",
            (rows,),
        )


def pour(site: Site, megabytes: int) -> None:
    """Rows that do not compress, many and fast."""
    with site.connect() as db:
        for _ in range(megabytes):
            db.execute("INSERT INTO noise VALUES (%s)", (base64.b64encode(os.urandom(3 << 18)).decode(),))


def pour_bit_by_bit(site: Site, megabytes: int) -> None:
    """While a vault hangs: a piece at a time, which would never be confirmed if others waited for it."""
    for _ in range(0, megabytes, 8):
        pour(site, 8)
        site.wait_confirmed()
        assert spooled(site) < 32 << 20


def is_warned_of_before_it_is_left(site: Site) -> None:
    """More than half of the 12 MB waits for elm, and nothing is done about it yet."""
    pour(site, 10)
    site.wait_confirmed()
    wait_until(lambda: re.search(r"\b\d+ MB of at most 12 MB wait for elm", str(site.status()["alarms"])), site.told)
    assert site.status()["vaults"]["elm"]["hole"] is None


def peak(process: Popen[bytes]) -> int:
    """The most bytes of memory that a process ever had."""
    [line] = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) << 10


def spooled(site: Site) -> int:
    """Bytes of WAL that wait for vaults; some are taken while they are counted."""
    size = 0
    for path in (site.folder / "spool/00000001/wal").iterdir():
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def metrics(site: Site) -> str:
    """What ship wrote for Prometheus."""
    path = site.folder / "run/metrics/ship.prom"
    return path.read_text() if path.exists() else ""


def measured(site: Site) -> dict[str, float]:
    """The same as Prometheus reads it: by name and labels, `put_seconds_count birch wal`."""
    samples = [s for family in text_string_to_metric_families(metrics(site)) for s in family.samples]
    return {" ".join([s.name.removeprefix(PREFIX), *s.labels.values()]): s.value for s in samples}


def tells_of_each_vault(told: dict[str, float]) -> None:
    """Elm refuses, the others have all: who is behind and by how much, how long PUTs took, what they cost where it is known."""
    assert told["epoch"] == 1
    assert told["vault_lag_bytes elm"] > 1 << 20
    assert told["vault_lag_seconds elm"] > 0
    for vault, price in PRICES.items():
        assert told[f"vault_lag_bytes {vault}"] < told["vault_lag_bytes elm"]
        assert told[f"vault_lag_seconds {vault}"] < told["vault_lag_seconds elm"]
        puts = told[f"put_seconds_count {vault} wal"]
        assert puts == told[f"put_seconds_bucket {vault} wal +Inf"] > 0
        assert told[f"put_seconds_sum {vault} wal"] > 0
        assert told[f"put_cost_total {vault} wal"] == pytest.approx(puts / 1000 * price)
    assert told["put_seconds_count elm wal"] == 0, "what was refused is no PUT"
    assert "put_cost_total elm wal" not in told, "nobody said its price"


def secrets(config: Path) -> set[str]:
    """Whatever opens something in a program's configuration, and in the file that it names: keys, passwords, an identity."""
    value = json.loads(config.read_text())
    key = Path(value["signing_key_file"])
    found = {value["identity"], *(key.read_text().splitlines()[1:2] if key.exists() else ())}
    for vault in value["vaults"]:
        found |= {vault.get(name) for name in ("restic_password", "standby_password")}
        found.add(vault["credentials"].get("secret_access_key"))
    return found - {None}


def shows(site: Site, setting: str, value: str) -> None:
    """Wait until whoever connects now has it so: Postgres reads its settings anew in its own time."""

    def shown() -> bool:
        with site.connect() as db:
            return db.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (value,)

    wait_until(shown, f"{setting} to be {value}")


def begun(site: Site, *settings: str) -> None:
    """A database that writes nothing by itself."""
    site.create("checkpoint_timeout = 1h", "autovacuum = off", "full_page_writes = off", *settings)
    with site.connect() as db:
        db.execute("CREATE TABLE noise (filler text)")
        db.execute("ALTER TABLE noise ALTER filler SET STORAGE EXTERNAL")
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")


def test_a_vault_that_hangs_is_left_behind_and_catches_up(sites: Callable[..., Site], fleet: Fleet, elm: Proxy) -> None:
    """It is warned of, others are not delayed, disk and memory stay bounded, and the hole is filled from other vaults, byte for byte."""
    acorn = sites(fleet, "acorn")
    begun(acorn)
    ship = acorn.ship(behind(acorn.ship_config(), elm, backlog_mb=12))
    acorn.wait_confirmed()
    began_with = peak(ship)
    elm.hang.clear()
    (acorn.folder / "outbox/ledger/00000001.json").write_text("{}")
    is_warned_of_before_it_is_left(acorn)
    pour_bit_by_bit(acorn, 16)
    wait_until(lambda: acorn.status()["vaults"]["elm"]["hole"], acorn.told)
    wait_until(lambda: any("elm was left behind" in a for a in acorn.status()["alarms"]), acorn.told)
    elm.be_well()
    end = acorn.wait_confirmed()
    wait_until(lambda: acorn.status()["vaults"]["elm"]["backlog_chunks"] == 0, acorn.told)
    status = acorn.status()
    hole = status["vaults"]["elm"]["hole"]
    assert lsn.parse(status["vaults"]["elm"]["lsn"]) == lsn.parse(hole["from"]) < end, "it counts for nothing yet"
    ends = ("--vault", "elm", "--from", hole["from"], "--until", hole["until"])
    before = elm.puts
    copied = acorn.run("catch-up", *ends, config=acorn.config("reader"))
    assert copied["chunks"] > 0
    assert elm.puts - before < copied["chunks"], "the primary took no part in it"
    assert acorn.status()["vaults"]["birch"]["verified_at"] is None
    acorn.run("verified", "--vault", "birch", config=acorn.ship_config())
    acorn.run("caught-up", *ends, config=acorn.ship_config())
    wait_until(lambda: acorn.status()["vaults"]["elm"]["hole"] is None, acorn.told)
    wait_until(lambda: lsn.parse(acorn.status()["vaults"]["elm"]["lsn"]) >= end, acorn.told)
    assert time.time() - acorn.status()["vaults"]["birch"]["verified_at"] < 600
    wait_until(lambda: '\nresilience_vault_verified_time_seconds{vault="birch"} ' in metrics(acorn), acorn.told)
    assert 'verified_time_seconds{vault="elm"}' not in metrics(acorn), "nobody verified that one"
    vaults = fleet.vaults()
    wait_until(lambda: chunks(vaults["birch"]) == chunks(vaults["elm"]), "what Postgres wrote by itself since")
    assert all(vaults["birch"].get(key) == vaults["elm"].get(key) for key in chunks(vaults["elm"]))
    assert vaults["elm"].list("ledger/") == vaults["birch"].list("ledger/")
    assert acorn.run("catch-up", *ends, config=acorn.config("reader"))["chunks"] == 0
    elm.hang.clear()
    pour_bit_by_bit(acorn, 40)
    assert peak(ship) - began_with < MORE_MEMORY, f"{began_with} when it began"


def test_writes_stop_where_the_operator_chose_so(sites: Callable[..., Site], fleet: Fleet, elm: Proxy) -> None:
    """Past the limit nobody may write, not even who was at it; half of it taken, they may again."""
    priced = {name: replace(spec, price_per_1000_puts=PRICES.get(name)) for name, (_, spec) in fleet.stores.items()}
    fleet.stores = {name: (store, priced[name]) for name, (store, _) in fleet.stores.items()}
    acorn = sites(fleet, "acorn")
    begun(acorn)
    elm.status, elm.writes_only = 403, True
    acorn.ship(behind(acorn.ship_config(), elm, backlog_mb=2, past_backlog="stop"))
    acorn.wait_confirmed()
    with suppress(psycopg.OperationalError), acorn.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO rows VALUES (1, '')")
        noise(acorn, 100)
        wait_until(lambda: acorn.status()["writes_stopped_since"], acorn.told)
        with pytest.raises(psycopg.OperationalError):
            writer.execute("INSERT INTO rows VALUES (2, '')")
    shows(acorn, "default_transaction_read_only", "on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        acorn.insert(3, 3)
    assert acorn.rows() == [], "reading goes on"
    wait_until(lambda: measured(acorn)["writes_stopped"], acorn.told)
    told = measured(acorn)
    assert told["put_errors_total elm wal Trouble"] > 0
    assert told["spool_chunks elm"] > 0
    tells_of_each_vault(told)
    said = acorn.told() + metrics(acorn) + (acorn.folder / "ship.log").read_text()
    assert not [secret for secret in secrets(acorn.config("ship")) if secret in said]
    elm.status = None
    wait_until(lambda: acorn.status()["writes_stopped_since"] is None, acorn.told)
    shows(acorn, "default_transaction_read_only", "off")
    acorn.insert(4, 4)
    assert acorn.status()["vaults"]["elm"]["hole"] is None


def test_commits_go_on_degraded_where_the_operator_chose_so(
    sites: Callable[..., Site], fleet: Fleet, elm: Proxy
) -> None:
    """With fewer than k vaults commits count as async and an alarm says so; who asks for the quorum still waits.

    The clock is set back by a day while they wait: how long something waits is not told by the time of day.
    """
    fleet.durability, fleet.k, fleet.lease_s = "quorum", 3, 9.0
    acorn = sites(fleet, "acorn")
    jump = with_a_clock(acorn)
    begun(acorn)
    acorn.ship(behind(acorn.ship_config(), elm, too_few_vaults="degrade"))
    acorn.wait_confirmed()
    acorn.ask_for_quorum()
    acorn.insert(1, 3)
    assert acorn.status()["commits"] == "quorum"
    elm.status, elm.writes_only = 429, True
    jump.write_text(str(-DAY))
    with acorn.connect() as strict, acorn.connect() as db:
        db.execute("SET synchronous_commit = local")
        db.execute("INSERT INTO rows VALUES (4, '')")
        wait_until(lambda: acorn.status()["commits"] == "async", acorn.told)
        assert acorn.status()["degraded_since"]
        db.execute("RESET synchronous_commit")
        wait_until(lambda: db.execute("SHOW synchronous_commit").fetchone() == ("local",), "it to count here")
        db.execute("INSERT INTO rows VALUES (5, '')")
        strict.execute("SET synchronous_commit = on")
        waiting = Thread(target=strict.execute, args=("INSERT INTO rows VALUES (6, '')",))
        waiting.start()
        waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
        wait_until(lambda: db.execute(waits, (strict.info.backend_pid,)).fetchall(), "who asks for the quorum to wait")
        elm.status = None
        waiting.join(120)
        assert not waiting.is_alive()
    wait_until(lambda: acorn.status()["commits"] == "quorum", acorn.told)
    assert acorn.running()
    acorn.insert(7, 8)


def test_wal_that_the_slot_keeps_never_fills_the_disk(sites: Callable[..., Site], fleet: Fleet, elm: Proxy) -> None:
    """With fewer than k vaults it is told from half of the limit on, and past it writes stop; without ship Postgres lets go.

    That the disk would be full before the limit is told, too.
    """
    fleet.k = 3
    acorn = sites(fleet, "acorn")
    begun(acorn, *for_postgres(Replication(k=3, s=2, backlog_mb=2)).splitlines())
    ship = acorn.ship(behind(acorn.ship_config(), elm, backlog_mb=2))
    acorn.wait_confirmed()
    elm.status, elm.writes_only = 403, True
    noise(acorn, 35)
    wait_until(lambda: "keeps 1 MB of WAL of at most 2 MB" in str(acorn.status()["alarms"]), acorn.told)
    assert acorn.status()["writes_stopped_since"] is None
    with suppress(psycopg.OperationalError):  # who is at it when writes stop is ended
        noise(acorn, 35)
    wait_until(lambda: acorn.status()["writes_stopped_since"], acorn.told)
    shows(acorn, "default_transaction_read_only", "on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        noise(acorn, 1)
    stop(ship)
    ship = acorn.ship(behind(acorn.ship_config(), elm, backlog_mb=10_000_000))
    wait_until(lambda: "full before the limit of 10000000 MB" in str(acorn.status()["alarms"]), acorn.told)
    shows(acorn, "default_transaction_read_only", "off")
    stop(ship)
    noise(acorn, 150)
    with acorn.connect() as db:
        db.execute("SELECT pg_switch_wal()")
        db.execute("CHECKPOINT")
        assert db.execute("SELECT wal_status FROM pg_replication_slots").fetchone() == ("lost",)
    elm.be_well()
    acorn.ship(behind(acorn.ship_config(), elm))
    wait_until(lambda: "unprotected" in str(acorn.status()["alarms"]), acorn.told)


def test_wal_that_nobody_streams_counts(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Where Postgres lets no ship in, what it keeps counts towards the limit all the same, and no age is made up."""
    acorn = sites(fleet, "acorn")
    begun(acorn)
    acorn.ship(acorn.ship_config(backlog_mb=4, past_backlog="stop"))
    acorn.wait_confirmed()
    wait_until(lambda: measured(acorn).get("confirmed_lag_seconds") is not None, lambda: metrics(acorn))
    hba = acorn.pg / "pg_hba.conf"
    usual = hba.read_text()
    hba.write_text(f"local replication all reject\n{usual}")
    with acorn.connect() as db:
        db.execute("SELECT pg_reload_conf()")

        def is_let_in_no_more() -> bool:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
            )  # it may have come back before that counted
            return "pg_hba" in (acorn.status()["postgres_error"] or "")

        wait_until(is_let_in_no_more, acorn.told)
    with suppress(psycopg.OperationalError):  # who is at it when writes stop is ended
        noise(acorn, 200)
    wait_until(lambda: acorn.status()["writes_stopped_since"], acorn.told)
    assert any("Postgres keeps" in alarm for alarm in acorn.status()["alarms"]), acorn.told()
    wait_until(lambda: measured(acorn)["confirmed_lag_bytes"] > 4 << 20, lambda: metrics(acorn))
    assert "confirmed_lag_seconds" not in measured(acorn)
    hba.write_text(usual)
    with acorn.connect() as db:
        db.execute("SELECT pg_reload_conf()")
    wait_until(lambda: acorn.status()["writes_stopped_since"] is None, acorn.told)


def protected_since(told: dict[str, float], began: float) -> bool:
    """Whether nothing is unprotected, by a snapshot that was taken after that moment, on our clock."""
    return told["unprotected"] == 0 and began < told["snapshot_time_seconds"] < time.time()


def drop_slot(acorn: Site, ship: Popen[bytes]) -> None:
    """Ship is stopped, and what was written since is thrown away, though nobody has it."""
    ship.send_signal(signal.SIGTERM)
    assert ship.wait(120) == 0
    with acorn.connect(options=LOCAL) as db:
        held = "SELECT FROM pg_replication_slots WHERE active"
        wait_until(lambda: not db.execute(held).fetchall(), "Postgres to see that ship has gone")
        db.execute("SELECT pg_drop_replication_slot('ship')")
        for n in range(21, 25):
            db.execute("INSERT INTO rows VALUES (%s, 'lost')", (n,))
            db.execute("SELECT pg_switch_wal()")
        db.execute("CHECKPOINT")
        db.execute("CHECKPOINT")


def stays_unprotected(acorn: Site, first: int) -> None:
    """Nothing ends that, by ship's next whole look: each begins with a note of how far vaults are, where they moved."""
    at = acorn.folder / "spool/00000001/at/birch"

    def noted(position: int) -> bool:
        return lsn.parse(at.read_text()) >= position

    for n in (first, first + 1):  # a look that one of these begins has ended when the next one begins
        acorn.insert(n, n, options=LOCAL)
        wait_until(partial(noted, acorn.wait_everywhere()), acorn.told)
    assert acorn.status()["gap"]


def two_give_a_snapshot_back(acorn: Site, elm: Proxy, waits: Callable[[], bool]) -> None:
    """Elm takes no label; nobody is protected while no vault, then one, gave it back."""
    elm.only, elm.status = "/label/", 403
    taken = acorn.run("snapshot", config=behind(acorn.ship_config(), elm))
    assert list(taken["failed"]) == ["elm"]
    stays_unprotected(acorn, 51)
    acorn.read_back({"birch": taken["snapshots"]["birch"]})
    stays_unprotected(acorn, 53)
    assert waits()
    acorn.read_back(taken["snapshots"])
    wait_until(lambda: acorn.status()["gap"] is None, acorn.told)


def test_a_slot_that_was_lost(sites: Callable[..., Site], fleet: Fleet, elm: Proxy) -> None:
    """Unprotected until k vaults gave back a snapshot that leads past what Postgres threw away; quorum commits wait, and then go through.

    One that nobody read back, or that one vault alone gave back, ends nothing. A restore has all that was acknowledged before and
    after, though its clock is a day back and the primary's settings rose after the snapshot. A vault that takes the snapshot's files
    and not its label keeps nobody from being protected by the others.
    """
    fleet.durability = "quorum"
    acorn, writer = sites(fleet, "acorn"), Writer(iter(range(1000, 1 << 40)))
    acorn.begin()
    acorn.insert(1, 20)
    end = acorn.wait_confirmed()
    acorn.ask_for_quorum()
    with writer.at(acorn):
        wait_until(lambda: len(writer.acknowledged) > 20, acorn.told)
        drop_slot(acorn, acorn.processes[0])
        acorn.ship()
        wait_until(lambda: acorn.status().get("gap"), acorn.told)
        assert lsn.parse(acorn.status()["gap"]["from"]) >= end
        wait_until(lambda: "unprotected" in str(acorn.status()["alarms"]), acorn.told)
        with acorn.connect() as db:
            told = "SELECT flush_lsn FROM pg_stat_replication WHERE application_name = 'ship'"
            wait_until(lambda: db.execute(told).fetchall(), "ship to be connected")
            assert db.execute(told).fetchone() == (None,), "nothing is confirmed"
        before = len(writer.acknowledged)
        acorn.insert(25, 30, options=LOCAL)
        acorn.wait_confirmed()
        assert len(writer.acknowledged) == before, "what vaults hold leads nowhere"
        began = time.time()
        two_give_a_snapshot_back(acorn, elm, lambda: len(writer.acknowledged) == before)
        wait_until(lambda: len(writer.acknowledged) > before + 20, acorn.told)
    with acorn.connect() as db:
        db.execute("ALTER SYSTEM SET max_connections = 120")
    acorn.restart()
    acorn.insert(31, 40)
    # Metrics are written less often than the status that was waited for.
    wait_until(lambda: protected_since(measured(acorn), began), lambda: metrics(acorn))
    acorn.kill_postgres()
    acorn.end()
    birch = sites(fleet, "birch")
    with_a_clock(birch).write_text(str(-DAY))
    birch.run("restore")
    birch.run("recover")
    assert writer.acknowledged | set(range(1, 41)) <= set(birch.rows())
