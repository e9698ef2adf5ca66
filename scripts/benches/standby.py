"""scripts/bench standby: how far a hot standby is behind, what it writes while idle, how soon it is promoted.

Each commit changes a row of pgbench's somewhere in the database, of whatever size. In each further run a new standby follows
the one that was promoted, from the same snapshots.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
import psycopg

from scripts.benches._ahead import Ahead
from scripts.benches._filled import scale
from scripts.benches._restores import LONGEST_S, begin_filled, shipped
from scripts.benches._world import Site, fleet, run_in_memory, store
from tests.replication.harness import site_folder, wait_until

EVERY = 0.02
"""Seconds between commits at the primary."""
QUIET = 20
"""Seconds without WAL after which a primary is idle: within fifteen it still logs what is running."""


COMMIT = (
    "WITH touched AS (UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = %s) "
    "INSERT INTO rows VALUES (%s, repeat('x', 200))"
)


def main() -> int:
    """Measure, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench standby", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of writing, and of idling")
    parser.add_argument("--size", type=float, default=0.02, metavar="GB", help="of the database (default 0.02)")
    parser.add_argument("--runs", type=int, default=1, help="how many standbys, one after the other (default 1)")
    parser.add_argument("--json", type=Path, help="figures also into this file")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as stores,
        store(Path(stores)) as (at, _),
        site_folder() as folder,
    ):
        ours = fleet(at, secrets.token_hex(4), durability="async", spacing_ms=200)
        sites = [run_in_memory(Site(folder, "acorn", ours, ours.seal("acorn")))]
        runs = []
        try:
            snapshot_s = begin_filled(sites[0], args.size)
            for number in range(args.runs):
                sites.append(run_in_memory(Site(folder, f"birch-{number}", ours, ours.records[-1])))
                runs.append(measure(sites[-2], sites[-1], args.seconds, args.size))
        finally:
            for site in sites:
                site.end()
    sys.stdout.write(f"{args.size:g} GB, {len(runs)} runs: median (least to most)\n")
    figures = {"snapshot_s": snapshot_s}
    for name in runs[0]:
        values = [run[name] for run in runs]
        figures[name] = statistics.median(values)
        sys.stdout.write(f"{name:28} {figures[name]:10.3f} ({min(values):.3f} to {max(values):.3f})\n")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def _checkpoint(site: Site) -> None:
    with psycopg.connect(site.dsn, autocommit=True) as db:
        db.execute("CHECKPOINT")


def _quiet(birch: Site) -> None:
    """Until no WAL came for a while: the last of it makes Postgres copy a whole segment, once."""
    seen, since = "", time.monotonic()
    while time.monotonic() < since + QUIET:
        if (now := str(birch.standby_status()["seen_lsn"])) != seen:
            seen, since = now, time.monotonic()
        time.sleep(1)


def measure(acorn: Site, birch: Site, seconds: float, gigabytes: float) -> dict[str, float]:
    """Lag of each commit under load, bytes written while nothing happens, and the way to a primary, which then ships."""
    with acorn.connect() as db:  # it writes by itself, a minute after the load: WAL as anybody's
        db.execute("ALTER SYSTEM SET autovacuum = off")
        db.execute("SELECT pg_reload_conf()")
        db.execute("DROP TABLE IF EXISTS rows")
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    began = time.monotonic()
    birch.follow()
    wait_until(lambda: birch.has(0), birch.told_by_standby, LONGEST_S)
    ready_s = time.monotonic() - began
    lags = sorted(_lags(acorn, birch, seconds, int(scale(gigabytes)) * 100_000))
    acorn.wait_confirmed()
    _checkpoint(acorn)
    acorn.wait_confirmed()
    _quiet(birch)
    _checkpoint(birch)  # up to the primary's: what the load left behind is on the disk
    before, since = _written(birch), time.time()
    time.sleep(seconds)
    idle = _written(birch) - before
    for who, count in idle.most_common():
        sys.stdout.write(f"idle: {count:9,} bytes by {who}\n")
    for path in sorted(_touched(birch.folder, since)):
        sys.stdout.write(f"idle: touched {path}\n")
    acorn.kill_postgres()
    acorn.end()
    shutil.rmtree(acorn.pg)
    for process in birch.processes:
        process.terminate()
        process.wait(10)
    birch.take(birch.fleet.seal(birch.name))
    restore, recover = Ahead(birch, "restore"), Ahead(birch, "recover")
    restored, recovered = restore.run(birch.config()), recover.run(birch.config())
    birch.ship()
    shipped(birch)
    return {
        "ready_s": ready_s,
        "commits": len(lags),
        "lag_p50_s": statistics.median(lags),
        "lag_p99_s": lags[int(len(lags) * 0.99)],
        "lag_max_s": lags[-1],
        "idle_bytes_written_per_s": idle.total() / seconds,
        "restore_s": restored["took_s"],
        "recover_s": recovered["took_s"],
        "recover_replay_s": recovered["replay_s"],
    }


def _lags(acorn: Site, birch: Site, seconds: float, accounts: int) -> list[float]:
    """Seconds from each commit's answer until the standby shows the row."""
    committed: dict[int, float] = {}
    ended = threading.Event()

    def write() -> None:
        until = time.monotonic() + seconds
        with acorn.connect() as db:
            n = 0
            while time.monotonic() < until:
                n += 1
                db.execute(COMMIT, (random.randint(1, accounts), n))  # noqa: S311 - which row is changed
                committed[n] = time.monotonic()
                time.sleep(EVERY)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    shown, lags = 0, []
    with psycopg.connect(birch.dsn, autocommit=True) as db:
        while not ended.is_set() or shown < max(committed):
            row = db.execute("SELECT coalesce(max(n), 0) FROM rows").fetchone()
            now, newest = time.monotonic(), int(row[0]) if row else 0
            lags += [max(0.0, now - committed.get(n, now)) for n in range(shown + 1, newest + 1)]
            shown = newest
            time.sleep(0.01)
    writer.join()
    return lags


def _written(site: Site) -> Counter[str]:
    """Bytes that each of the standby's processes caused to be written to disk so far."""
    postmaster = (site.pg / "postmaster.pid").read_text().split()[0]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    total = Counter[str]()
    for pid in [postmaster, *children, *(str(process.pid) for process in site.processes)]:
        with suppress(OSError):  # it ended meanwhile
            fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
            title = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
            total[f"{pid} {title[:60]}"] = int(fields["write_bytes"])
    return total


def _touched(folder: Path, since: float) -> Iterator[str]:
    """Files and folders that were written since, and how large each is."""
    for path in folder.rglob("*"):
        with suppress(OSError):
            found = path.stat()
            if found.st_mtime > since:
                yield f"{path.relative_to(folder)}: {found.st_size:,}"


if __name__ == "__main__":
    sys.exit(main())
