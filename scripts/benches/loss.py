"""scripts/bench loss: how much is lost when a primary that writes is killed with all its disk, many times: the distribution.

Each time a new database, ship into three vaults, pgbench, one client beside it that commits without a pause, and after a moment
that chance chooses SIGKILL for everything. A commit of that client counts as lost when the WAL in the vaults ends before where
Postgres was a moment after it, pgbench's WAL included: in async so much at most. In quorum, where none may be, the vaults are
restored, and its rows are looked for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from resilience import caches
from scripts.benches._copies import Ours, OursQuorum
from scripts.benches._world import Site, Store, adopt_orphans, pgbench, store
from scripts.benches.replication import CLIENTS, SETTINGS, lose
from tests.replication.harness import site_folder

SOONEST_S, LATEST_S = 0.5, 2.5
"""When the primary is killed, after the first commit."""
SCALE = 5
AT_ONE_STORE = 10
"""Each life has buckets of its own, of which a store on this machine has room for some tens."""


def main() -> int:
    """Kill, count, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench loss", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in async (default 100)")
    parser.add_argument("--quorum", type=int, default=20, help="in quorum (default 20)")
    parser.add_argument(
        "--clients", type=int, default=CLIENTS, help=f"pgbench's meanwhile (default {CLIENTS}; 0: none)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: value} there")
    args = parser.parse_args()
    caches.use_programs()
    adopt_orphans()
    chance = random.Random(args.seed)  # noqa: S311 - when to kill
    figures: dict[str, float] = {}
    for kind, kills in ((Ours, args.kills), (OursQuorum, args.quorum)):
        found: list[dict[str, float]] = []
        while len(found) < kills:
            found += _some(kind, chance, min(AT_ONE_STORE, kills - len(found)), args.clients)
            print(f"{kind.name}: {len(found)} of {kills}", file=sys.stderr)
        if found:
            figures |= _told(kind.name, found)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"load {os.getloadavg()[1]:.0f}, commit {commit.stdout.strip()}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def _some(kind: type[Ours], chance: random.Random, kills: int, clients: int) -> list[dict[str, float]]:
    """So many, in one store."""
    with tempfile.TemporaryDirectory(prefix="resilience-bench-") as folder, store(Path(folder) / "s3") as (at, tls):
        return [_killed(kind, at, tls, chance.uniform(SOONEST_S, LATEST_S), clients) for _ in range(kills)]


def _killed(kind: type[Ours], at: Store, tls: int, after_s: float, clients: int) -> dict[str, float]:
    """One primary's life."""
    copy = kind(at, tls, secrets.token_hex(4))
    with site_folder() as folder:
        site = copy.place(folder)
        try:
            site.create(*SETTINGS, *copy.settings, segment_mb=copy.segment_mb)
            with site.connect() as db:
                db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
            if clients:
                pgbench(site, "-i", "-q", "-s", str(SCALE))
            copy.begin(site)
            if kind is OursQuorum:
                site.run("init-repo", config=site.config("operator"))
                site.run("snapshot", config=site.ship_config())
            with _load(site, clients):
                found = lose(copy, site, after_s)
            if kind is OursQuorum:
                found |= _missing(site, int(found["acknowledged"]))
            return found
        finally:
            copy.kill(site)
            site.end()


def _missing(site: Site, acknowledged: int) -> dict[str, float]:
    """How many of the rows whose commit was acknowledged are not in a restore."""
    after = Site(site.folder.parent, "birch", site.fleet, site.fleet.seal("birch"))
    try:
        after.run("restore")
        after.run("recover")
        missing = {*range(1, acknowledged + 1)} - {*after.rows()}
    finally:
        after.end()
    return {"lost": len(missing), **({} if missing else {"lost_s": 0.0})}


@contextmanager
def _load(site: Site, clients: int) -> Iterator[None]:
    """So many clients of pgbench at work, until Postgres is gone."""
    if not clients:
        yield
        return
    where = ["-h", str(site.folder / "socket"), "-p", str(site.port), "-U", "postgres"]
    argv = [str(site.bin / "pgbench"), *where, "-n", "-c", str(clients), "-j", "2", "-T", "3600", "postgres"]
    load = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        load.kill()
        load.wait()


def _told(name: str, found: list[dict[str, float]]) -> dict[str, float]:
    seconds = sorted(one["lost_s"] for one in found)
    figures = {
        "kills": len(found),
        "seconds lost p50": statistics.median(seconds),
        "seconds lost p99": seconds[math.ceil(0.99 * len(seconds)) - 1],
        "seconds lost most": seconds[-1],
        "commits lost most": max(one["lost"] for one in found),
    }
    print(f"{name}: " + ", ".join(f"{what} {value:.3g}" for what, value in figures.items()))
    return {f"{name} {what}": value for what, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
