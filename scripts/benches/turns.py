"""scripts/bench turns: what copying takes from an app's transactions, turn about on one large database.

A database of its own for each way (`replication --growth`) also measures how warm each copy of 10 GB happens to be, and
on two cores that is worth more than what is measured. Here nothing but the way changes: no copy, ours, and the least that a
copy can do: the stream read by PostgreSQL's own receiver and kept nowhere, and as many bytes put into the same stores. Each
round takes all three, in another order, each after a checkpoint, and compares them with no copy in the same round. With
`--elsewhere` the stores have their files in memory and get no core that anybody else would use, as if on other machines.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from resilience import caches
from resilience.replication import lsn
from scripts.benches._copies import Copy, Least, Nothing, Ours
from scripts.benches._filled import fill, lay
from scripts.benches._world import Site, Store, adopt_orphans, new_store, pgbench
from scripts.benches.replication import CLIENTS, SETTINGS
from tests.replication.harness import site_folder, wait_until

KEPT = "min_wal_size = 1GB"
"""Segments are used again, as in a database that has been written to for a while; new ones are filled with zeros first."""
CAUGHT_UP_S = 300
BEHIND = "ours: seconds until all is confirmed"
LEAST = 2
"""Rounds; of one no spread can be told."""


def main() -> int:
    """Take turns, print each round and the medians, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench turns", description=__doc__)
    parser.add_argument("--size", type=float, default=10, metavar="GB", help="the database (default 10)")
    parser.add_argument("--rounds", type=int, default=10, help="how often all take their turn (default 10, at least 2)")
    parser.add_argument("--seconds", type=int, default=10, help="pgbench for so long, each (default 10)")
    parser.add_argument("--elsewhere", action="store_true", help="stores that take neither disk nor cores from the app")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: median} there")
    args = parser.parse_args()
    if args.rounds < LEAST:
        parser.error(f"--rounds {args.rounds}: of one round no spread can be told; say at least {LEAST}.")
    caches.use_programs()
    adopt_orphans()
    with new_store(elsewhere=args.elsewhere) as (at, tls), site_folder() as folder:
        ways = [kind(at, tls, secrets.token_hex(4)) for kind in (Nothing, Least, Ours)]
        with _filled(at, tls, args.size, ways[-1], folder) as site:
            _, *rounds = [_round(_order(ways, n), site, args.seconds) for n in range(args.rounds + 1)]
    figures = _figures(rounds)
    for name, value in figures.items():
        print(f"{name}: {value:,.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


@contextmanager
def _filled(at: Store, tls: int, gigabytes: float, ours: Copy, folder: Path) -> Iterator[Site]:
    """The one database, at a site that has all ways' settings."""
    with site_folder() as elsewhere:
        filled = Nothing(at, tls, secrets.token_hex(4)).place(elsewhere)
        try:
            fill(filled, gigabytes, *SETTINGS)
        finally:
            filled.end()
        site = ours.place(folder)
        lay(filled.pg, site, KEPT, *ours.settings, segment_mb=ours.segment_mb)
        shutil.rmtree(filled.pg)
    try:
        yield site
    finally:
        site.end()


def _order(ways: Sequence[Copy], number: int) -> Sequence[Copy]:
    """Each way comes first, second … equally often, before and after each other."""
    turned = [*ways[number % len(ways) :], *ways[: number % len(ways)]]
    return turned[::-1] if number // len(ways) % 2 else turned


def _round(ways: Iterable[Copy], site: Site, seconds: int) -> dict[str, float]:
    """Transactions a second of each way. The first round is for warming up, and counts for nothing."""
    found = {}
    for way in ways:
        way.begin(site)
        if isinstance(way, Ours):
            wait_until(lambda: _confirmed(site) >= site.wal_end(), site.told, CAUGHT_UP_S)
        with site.connect() as db:
            db.execute("CHECKPOINT")
        os.sync()
        said = pgbench(site, "-n", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds))
        found[way.name] = float(said.partition("tps = ")[2].split()[0])
        if isinstance(way, Ours):
            found[BEHIND] = _behind(site)
        way.kill(site)
    print(
        "  " + ", ".join(f"{name} {figure:,.1f}" for name, figure in sorted(found.items())), file=sys.stderr, flush=True
    )
    return found


def _behind(site: Site) -> float:
    """Seconds until k vaults have what was written up to now."""
    began, end = time.monotonic(), site.wal_end()
    wait_until(lambda: _confirmed(site) >= end, site.told, CAUGHT_UP_S)
    return time.monotonic() - began


def _confirmed(site: Site) -> int:
    return lsn.parse(site.status().get("confirmed_lsn", "0/0"))


def _figures(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each way, the median of its transactions a second, and of its rounds' ratios to no copy, with the quartiles."""
    figures = {BEHIND: statistics.median(found[BEHIND] for found in rounds)}
    for name in sorted({*rounds[0]} - {BEHIND}):
        ratios = [found[name] / found[Nothing.name] for found in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        figures[f"{name}: tps"] = statistics.median(found[name] for found in rounds)
        if name != Nothing.name:
            figures |= {f"{name}: beside no copy": middle, f"{name}: quartile": low, f"{name}: third quartile": high}
    return figures


if __name__ == "__main__":
    sys.exit(main())
