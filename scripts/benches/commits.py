"""scripts/bench commits: how long a commit in quorum waits, by how far away the vaults are and how many clients commit.

Three vaults, two of which must have a commit. A proxy before each answers every request so many milliseconds later, as a
vault of another vendor does; 0 is the store on this machine, without a proxy. pgbench's clients insert a row each, again
and again: what they wait for is the commit alone. Beside it what is asked: 1.2 times a plain PUT and a look for a newer
epoch, the second fastest of three, and the spacing of chunks. In the last line one of three answers nothing at all; then it
is back, and commits go on while it catches up.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from resilience import caches
from resilience.replication.courier import BATCH
from scripts.benches._copies import OursQuorum
from scripts.benches._world import Fleet, Site, adopt_orphans, new_store, pgbench
from scripts.benches.replication import SETTINGS, plain_put_and_look
from tests.replication.harness import site_folder, wait_until
from tests.vault_proxy import Proxy, proxy

SPACING_MS = OursQuorum.spacing_ms
INSERT = "INSERT INTO written (filler) VALUES (repeat('x', 200));\n"


def main() -> int:
    """Measure, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench commits", description=__doc__)
    parser.add_argument(
        "--away", type=int, nargs="+", default=[0, 10, 25, 50], metavar="MS", help="to a vault and back"
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], metavar="N", help="pgbench's at a time")
    parser.add_argument("--seconds", type=int, default=10, help="pgbench for so long, each (default 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: value} there")
    args = parser.parse_args()
    caches.use_programs()
    adopt_orphans()
    figures: dict[str, float] = {}
    print(
        "| vaults are away, ms | PUT + look ms | asked ms | "
        + " | ".join(f"{n} at a time: median ms (p90)" for n in args.clients)
        + " |"
    )
    print("|---" * (3 + len(args.clients)) + "|")
    for away in args.away:
        figures |= _measure(away, args.clients, args.seconds)
    figures |= _measure(args.away[-1], args.clients, args.seconds, silent=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _measure(away: int, clients: Sequence[int], seconds: int, *, silent: bool = False) -> dict[str, float]:
    """One line of the table."""
    name = f"{away}{', one of three silent' if silent else ''}"
    with new_store() as (at, tls), site_folder() as folder:
        copy = OursQuorum(at, tls, secrets.token_hex(4))
        with _behind(copy.fleet(), away if away or silent else None) as (fleet, proxies):
            copy.fleet = lambda: fleet  # type: ignore[method-assign]
            site = copy.place(folder)
            try:
                site.create(*SETTINGS, *copy.settings, segment_mb=copy.segment_mb)
                with site.connect() as db:
                    db.execute("CREATE TABLE written (n bigserial PRIMARY KEY, filler text)")
                copy.begin(site)
                floor = plain_put_and_look(site)
                if silent:
                    proxies[-1].hang.clear()
                found = {number: _commits(site, number, seconds) for number in clients}
                told = _back(site, proxies[-1], away, clients[-1], seconds) if silent else ""
            finally:
                for standing in proxies:
                    standing.be_well()
                copy.kill(site)
                site.end()
    asked = 1.2 * floor + SPACING_MS
    cells = [f"{median:.1f} ({late:.1f})" for median, late in found.values()]
    print(f"| {name} | {floor:.1f} | {asked:.1f} | " + " | ".join(cells) + f" |{told}", flush=True)
    return {f"{name}: {number} clients, median ms": median for number, (median, _) in found.items()} | {
        f"{name}: PUT + look ms": floor
    }


@contextmanager
def _behind(fleet: Fleet, away: int | None) -> Iterator[tuple[Fleet, list[Proxy]]]:
    """The fleet with its vaults so many milliseconds away; as it is where that is None."""
    if away is None:
        yield fleet, []
        return
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(proxy(at.endpoint)) for name, (at, _) in fleet.stores.items()}
        for standing in proxies.values():
            standing.delay = away / 1000
        fleet.stores = {
            name: (replace(at, endpoint=proxies[name].endpoint), replace(spec, endpoint=proxies[name].endpoint))
            for name, (at, spec) in fleet.stores.items()
        }
        yield fleet, list(proxies.values())


def _back(site: Site, standing: Proxy, away: int, clients: int, seconds: int) -> str:
    """What the vault that was silent has to catch up, for how long, and what commits wait meanwhile."""
    vault = [*site.fleet.stores][-1]

    def waiting() -> int:
        return int(site.status()["vaults"][vault]["backlog_chunks"])

    had, began = waiting(), time.monotonic()
    standing.be_well()
    standing.delay = away / 1000
    with ThreadPoolExecutor(max_workers=1) as aside:
        meanwhile = aside.submit(_commits, site, clients, seconds)
        wait_until(lambda: waiting() <= BATCH, "the vault to catch up")
        took = time.monotonic() - began
        median, late = meanwhile.result()
    return (
        f"\n\nThe silent one came back to {had} chunks: it had them after {took:.1f} s. In the first {seconds} s from then on "
        f"a commit of {clients} clients took {median:.1f} ms ({late:.1f})."
    )


def _commits(site: Site, clients: int, seconds: int) -> tuple[float, float]:
    """The median and the 90th percentile of a commit, ms, as pgbench logs each."""
    script, log = site.folder / "insert.sql", site.folder / f"commits-{secrets.token_hex(4)}"
    script.write_text(INSERT)
    pgbench(site, "-n", "-c", str(clients), "-T", str(seconds), "-f", str(script), "-l", f"--log-prefix={log}")
    lines = [line.split() for path in log.parent.glob(f"{log.name}.*") for line in path.read_text().splitlines()]
    took = [int(line[2]) / 1000 for line in lines]
    return statistics.median(took), statistics.quantiles(took, n=10)[-1]


if __name__ == "__main__":
    sys.exit(main())
