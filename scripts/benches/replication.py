"""scripts/bench replication: copying a database away, side by side: none, ours, pgBackRest, pg_receivewal + restic.

Every run measures all of them one after another on the same store; the table shows medians and spread. With
--keep FILE runs are added to those of earlier calls, so that a long measurement can be made in parts. --growth
measures some of them beside databases that grow; the smallest of the table is what the others are compared with.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
import psycopg

from resilience import caches
from resilience.ports import Vault
from resilience.replication import layout, lsn
from scripts.benches._copies import ALL, GROWN, Copy, Nothing, Ours, OursToTwo, PgBackRest
from scripts.benches._filled import fill, lay
from scripts.benches._restores import restores
from scripts.benches._world import CHECKOUT, Site, Store, adopt_orphans, cpu_seconds, new_store, pgbench
from tests.replication.harness import site_folder, wait_until

GB = 1 << 30
CLIENTS = 4
SETTINGS = (
    "fsync = on",
    "shared_buffers = 256MB",
    "max_wal_size = 4GB",
    "checkpoint_timeout = 1h",
    "max_wal_senders = 10",
    "wal_compression = lz4",  # as on our hosts
)


def main() -> int:
    """Measure, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench replication", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--seconds", type=int, default=10, help="pgbench for so long, each (default 10)")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"pgbench's at a time (default {CLIENTS})")
    parser.add_argument(
        "--scale", type=int, default=10, help="pgbench scale: 15 MB each; clients share so many rows (default 10)"
    )
    parser.add_argument("--bulk", type=int, default=20, help="then a load of so much, for CPU and bytes (default 20)")
    sizes = parser.add_mutually_exclusive_group()
    for name, what in (("restore", "also restore"), ("growth", "instead of all that, measure beside")):
        sizes.add_argument(
            f"--{name}", type=float, nargs="*", default=[], metavar="GB", help=f"{what} databases so large"
        )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add the runs to these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: median} there")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # what was started is stopped on the way out
    caches.use_programs()
    adopt_orphans()
    PgBackRest.program = subprocess.run(
        [str(CHECKOUT / "scripts/parts/rivals.sh")], check=True, capture_output=True, text=True
    ).stdout.strip()
    runs: list[dict[str, Any]] = []
    if args.keep and args.keep.exists():
        runs = [json.loads(line) for line in args.keep.read_text().splitlines()]
    made: list[dict[str, Any]] = []
    try:
        (_measure_growth if args.growth else _measure_all)(args, made)
    finally:
        if args.keep:
            with args.keep.open("a") as file:
                file.writelines(json.dumps(run) + "\n" for run in made)
    runs += made
    grown = [run for run in runs if "gb" in run]
    alike = [run for run in runs if "gb" not in run]
    figures = _figures(alike)
    if alike:
        _table(alike, figures)
    if grown:
        figures |= _growth_table(grown)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _measure_all(args: argparse.Namespace, made: list[dict[str, Any]]) -> None:
    """All runs, and as many restores of each database."""
    for number in range(args.runs):
        with new_store() as (at, tls):
            made.append({**_now(), **(_run(at, tls, args, ALL) if args.seconds else {})})
            if args.seconds:
                made[-1]["rate"] = _rate(at)
        print(f"run {number + 1} of {args.runs} done", file=sys.stderr)
    for size in args.restore:
        with new_store() as (at, _):
            for run, found in zip(made, restores(at, size, args.runs), strict=True):
                run[f"restore {size:g} GB"] = found
                print(f"  restore {size:g} GB: {found}", file=sys.stderr)


def _measure_growth(args: argparse.Namespace, made: list[dict[str, Any]]) -> None:
    """Each size is filled once, and every way of every run begins with a copy of it."""
    for gigabytes in args.growth:
        began = time.monotonic()
        with site_folder() as folder:
            with new_store() as (at, tls):
                filled = Nothing(at, tls, secrets.token_hex(4)).place(folder)
                try:
                    fill(filled, gigabytes, *SETTINGS)
                finally:
                    filled.end()
            filled_s = time.monotonic() - began
            for _ in range(args.runs):
                began = time.monotonic()
                with new_store() as (at, tls):
                    run = {**_now(), "gb": gigabytes, "filled_s": filled_s, **_run(at, tls, args, GROWN, filled.pg)}
                made.append({**run, "took_s": time.monotonic() - began})


def _now() -> dict[str, Any]:
    return {"at": time.strftime("%Y-%m-%d %H:%M"), "load": os.getloadavg()[0]}


def _run(
    at: Store, tls: int, args: argparse.Namespace, kinds: Iterable[type[Copy]], filled: Path | None = None
) -> dict[str, Any]:
    """These ways once, each with a new database or a copy of a filled one; the first, which finds the machine cold, twice."""
    found: dict[str, Any] = {}
    first, *others = kinds
    for kind in (first, first, *others):
        copy = kind(at, tls, secrets.token_hex(4))
        with site_folder() as folder:
            site = copy.place(folder)
            try:
                _begin(copy, site, args.scale, filled)
                found[copy.name] = _measure(copy, site, args)
            finally:
                copy.kill(site)
                site.end()
        if isinstance(copy, PgBackRest):
            shutil.rmtree(copy.root, ignore_errors=True)
        print(f"  {copy.name}: {found[copy.name]}", file=sys.stderr)
    return found


def _begin(copy: Copy, site: Site, scale: int, filled: Path | None) -> None:
    """Postgres with pgbench's tables, and a database that is empty yet, for the load."""
    if filled:
        lay(filled, site, *copy.settings, segment_mb=copy.segment_mb)
    else:
        site.create(*SETTINGS, *copy.settings, segment_mb=copy.segment_mb)
        pgbench(site, "-i", "-q", "-s", str(scale))
    with site.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
        db.execute("CREATE DATABASE bulk")
        db.execute("CHECKPOINT")
    copy.begin(site)


def _measure(copy: Copy, site: Site, args: argparse.Namespace) -> dict[str, float]:
    """Throughput, CPU, stored bytes; then commits of one client, and the loss when all is killed at once."""
    others = _children() - _postmaster(site) - {p.pid for p in site.processes} - _own(copy)
    wal, stored, used = site.wal_end(), copy.bytes(site), cpu_seconds(others)
    said = pgbench(site, "-n", "-c", str(args.clients), "-j", "2", "-T", str(args.seconds))
    middle = site.wal_end()
    _settle(copy, site, middle)
    halfway = cpu_seconds(others)
    pgbench(site, "-i", "-q", "-I", "dtg", "-s", str(args.bulk), database="bulk")
    end = site.wal_end()
    _settle(copy, site, end)
    gigabytes = (end - wal) / GB
    found = {
        "tps": _said(said, "tps = "),
        "latency_ms": _said(said, "latency average = "),
        "transactions": _said(said, "actually processed: "),
        "cpu_transactions": halfway - used,
        "cpu_bulk": cpu_seconds(others) - halfway,
        "stored_per_gb": (copy.bytes(site) - stored) / gigabytes / max(1, copy.copies) / GB,
        "wal_mb": gigabytes * 1024,
        "wal_kb_each": (middle - wal) / 1024 / _said(said, "actually processed: "),
    }
    if isinstance(copy, OursToTwo):
        return found
    if isinstance(copy, Ours):
        found["put_and_look_ms"] = plain_put_and_look(site)
    return found | lose(copy, site)


def _settle(copy: Copy, site: Site, end: int) -> None:
    """Until what is to be copied has been; a segment that is not full never is, by those that copy segments."""
    if isinstance(copy, Nothing):
        return
    target = end - end % (copy.segment_mb << 20) if isinstance(copy, PgBackRest) else end
    wait_until(lambda: copy.end(site) >= target, f"{copy.name} to copy", 120)


def lose(copy: Copy, site: Site, after_s: float = 4.0) -> dict[str, float]:
    """One client commits; then SIGKILL for everything, and what is in the store is all there is."""
    acknowledged: list[tuple[float, float, int]] = []

    def write() -> None:
        with suppress(psycopg.Error), site.connect() as db:
            for number in range(1, 1 << 30):
                began = time.monotonic()
                db.execute("INSERT INTO rows VALUES (%s, repeat('x', 200))", (number,))
                took = time.monotonic() - began
                row = db.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
                acknowledged.append((time.monotonic(), took, lsn.parse(row[0]) if row else 0))

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(after_s)
    killed = time.monotonic()
    copy.kill(site)
    site.kill_postgres()
    writer.join(30)
    held = copy.end(site)
    lost = [at for at, _, position in acknowledged if position > held and at < killed]
    return {
        "acknowledged": len(acknowledged),
        "lost": len(lost),
        "lost_s": killed - min(lost) if lost else 0.0,
        "commit_ms": statistics.median(took for _, took, _ in acknowledged) * 1000,
    }


def plain_put_and_look(site: Site) -> float:
    """Milliseconds of a plain PUT of a small chunk and a look for a newer epoch, in all vaults at once: the k-th fastest of both."""
    vaults, kth = list(site.fleet.vaults().values()), []
    with ThreadPoolExecutor(max_workers=len(vaults)) as pool:
        for number in range(30):
            times = pool.map(_put_and_look, vaults, [f"plain/{number}"] * len(vaults))
            kth.append(sorted(times)[site.fleet.k - 1])
    return statistics.median(kth) * 1000


def _put_and_look(vault: Vault, name: str) -> float:
    began = time.monotonic()
    vault.put_new(name, os.urandom(2000))
    vault.get(layout.epoch(99))
    return time.monotonic() - began


def _rate(at: Store) -> float:
    """MB of WAL a second that ship, on one core, brings into three vaults."""
    copy = Ours(at, 0, secrets.token_hex(4))
    with site_folder() as folder:
        site = copy.place(folder)
        try:
            site.create(*SETTINGS, *copy.settings)
            copy.begin(site)
            site.processes[-1].terminate()
            site.processes[-1].wait()
            before = site.wal_end()
            pgbench(site, "-i", "-q", "-I", "dtgv", "-s", "20")
            end, began = site.wal_end(), time.monotonic()
            ship = site.ship()
            os.sched_setaffinity(ship.pid, {0})
            wait_until(lambda: lsn.parse(site.status().get("confirmed_lsn", "0/0")) >= end, site.told, 300)
            return (end - before) / (time.monotonic() - began) / (1 << 20)
        finally:
            site.end()


def _children() -> set[int]:
    """Our children, by process id."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


def _postmaster(site: Site) -> set[int]:
    return {int((site.pg / "postmaster.pid").read_text().splitlines()[0])}


def _own(copy: Copy) -> set[int]:
    receiver = getattr(copy, "receiver", None)
    return {receiver.pid} if receiver else set()


def _said(text: str, after: str) -> float:
    return float(text.partition(after)[2].split(maxsplit=1)[0])


def _figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of all figures, by way and name."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for way, found in run.items():
            if isinstance(found, dict):
                for name, value in found.items():
                    values.setdefault(f"{way}: {name}", []).append(value)
                if "tps" in found:
                    for name, value in _beyond(found, run[Nothing.name]).items():
                        values.setdefault(f"{way}: {name}", []).append(value)
            elif way == "rate":
                values.setdefault("ship on one core: mb_per_s", []).append(found)
    return {name: round(statistics.median(v), 3) for name, v in values.items()} | {
        f"{name} (spread)": round(max(v) - min(v), 3) for name, v in values.items()
    }


def _beyond(found: dict[str, float], floor: dict[str, float]) -> dict[str, float]:
    """A way beside the floor of its own run: as many transactions and the same load, with no copy."""
    alone = floor["cpu_transactions"] / floor["transactions"] * found["transactions"] + floor["cpu_bulk"]
    extra = (found["cpu_transactions"] + found["cpu_bulk"] - alone) / (found["wal_mb"] / 1024)
    return {"tps_ratio": found["tps"] / floor["tps"], "cpu_extra_per_gb": extra}


COLUMNS = {
    "tps_ratio": "tps / no copy",
    "commit_ms": "commit ms, 1 client",
    "put_and_look_ms": "PUT + look ms",
    "lost": "commits lost",
    "lost_s": "seconds lost",
    "cpu_extra_per_gb": "CPU s / GB WAL, all copies",
    "stored_per_gb": "stored / WAL, a copy",
}


def _table(runs: list[dict[str, Any]], figures: dict[str, float]) -> None:
    loads = ", ".join(f"{run['load']:.1f}" for run in runs)
    print(f"{len(runs)} runs, median (spread); load before each: {loads}\n")
    print("| | " + " | ".join(COLUMNS.values()) + " |\n|---|" + "---|" * len(COLUMNS))
    for kind in ALL:
        cells = []
        for column in COLUMNS:
            value = figures.get(f"{kind.name}: {column}")
            spread = figures.get(f"{kind.name}: {column} (spread)")
            cells.append("" if value is None else f"{value:.2f} ({spread:.2f})")
        print(f"| {kind.name} | " + " | ".join(cells) + " |")
    print("\nrun by run:")
    for kind in ALL:
        for run in runs if kind.name in runs[0] else ():
            found = {**run[kind.name], **_beyond(run[kind.name], run[Nothing.name])}
            print(f"  {kind.name}: " + ", ".join(f"{COLUMNS[c]} {found[c]:.2f}" for c in COLUMNS if c in found))
    print()
    for name, value in figures.items():
        if name.startswith(("ship", "restore")) and "spread" not in name:
            print(f"{name}: {value:.2f} ({figures[f'{name} (spread)']:.2f})")


GROWTH = {
    "tps": ("tps", 0),
    "tps_ratio": ("tps / no copy", 2),
    "commit_ms": ("commit ms, 1 client", 2),
    "lost": (COLUMNS["lost"], 0),
    "lost_s": (COLUMNS["lost_s"], 2),
    "cpu_extra_per_gb": (COLUMNS["cpu_extra_per_gb"], 1),
    "stored_per_gb": (COLUMNS["stored_per_gb"], 3),
    "wal_kb_each": ("KB WAL a transaction", 1),
}
"""Columns of the table of sizes, and how many digits each has."""


def _growth_table(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Each way by size: median, spread, and how many times the smallest size's; the figures."""
    sizes = {gb: [run for run in runs if run["gb"] == gb] for gb in sorted({run["gb"] for run in runs})}
    by_size = {gb: _figures(found) for gb, found in sizes.items()}
    first = next(iter(by_size.values()))
    print("median (spread) [times the first size's]\n")
    print("| | GB | " + " | ".join(title for title, _ in GROWTH.values()) + " |\n|---|---|" + "---|" * len(GROWTH))
    for kind in GROWN:
        for gb, figures in by_size.items():
            cells = [_grown(figures, first, f"{kind.name}: {c}", digits) for c, (_, digits) in GROWTH.items()]
            print(f"| {kind.name} | {gb:g} | " + " | ".join(cells) + " |")
    print()
    for gb, found in sizes.items():
        loads, took = (", ".join(f"{run[what]:.1f}" for run in found) for what in ("load", "took_s"))
        print(f"{gb:g} GB: filled in {found[-1]['filled_s']:.0f} s; each run took {took} s; load before each: {loads}")
    return {f"{gb:g} GB, {name}": value for gb, figures in by_size.items() for name, value in figures.items()}


def _grown(figures: dict[str, float], first: dict[str, float], name: str, digits: int) -> str:
    value, spread = figures[name], figures[f"{name} (spread)"]
    times = f" [{value / first[name]:.2f}]" if first[name] else ""
    return f"{value:,.{digits}f} ({spread:,.{digits}f}){times}"


if __name__ == "__main__":
    sys.exit(main())
