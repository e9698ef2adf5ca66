"""scripts/bench witness: what it costs a primary to be counted, so that copies can be compared with it.

A database of so many GB that ships; in each run pgbench alone, then pgbench while the primary is counted again and again
(a real one is counted once in a while), in async and where every commit waits for two of three vaults.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from resilience import caches  # noqa: E402 (the checkout goes first)
from scripts.benches._copies import Ours  # noqa: E402
from scripts.benches._filled import scale  # noqa: E402
from scripts.benches._world import Site, Store, pgbench, store  # noqa: E402
from tests.replication.harness import site_folder  # noqa: E402

SETTINGS = ("fsync = on", "shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 1h")
MODES = {"async": "local", "quorum": "on"}


def main() -> int:
    """Measure, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench witness", description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0, help="size of the database (default 1)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20, help="pgbench for so long, each (default 20)")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    caches.use_programs()
    with tempfile.TemporaryDirectory(prefix="resilience-bench-") as folder, store(Path(folder) / "s3") as (at, tls):
        found = _measured(at, tls, args)
    figures = {name: statistics.median(values) for name, values in found.items()}
    print(f"\n{args.gb:g} GB, {args.clients} clients, medians of {args.runs} runs (load {os.getloadavg()[0]:.0f})\n")
    print("| | counted alone | counted beside pgbench | tps alone | tps beside | ratio |\n|---|---|---|---|---|---|")
    for mode in MODES:
        spread = f"{min(found[f'{mode}_ratio']):.2f} to {max(found[f'{mode}_ratio']):.2f}"
        alone, beside = (f"{figures[f'{mode}_counted_{how}_s']:.1f} s" for how in ("alone", "beside"))
        tps = " | ".join(f"{figures[f'{mode}_tps_{how}']:,.0f}" for how in ("alone", "beside"))
        print(f"| {mode} | {alone} | {beside} | {tps} | {figures[f'{mode}_ratio']:.2f} ({spread}) |")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _measured(at: Store, tls: int, args: argparse.Namespace) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    copy = Ours(at, tls, "w")
    with site_folder() as folder:
        site = copy.place(folder)
        try:
            site.create(*SETTINGS)
            pgbench(site, "-i", "-q", "-s", scale(args.gb))
            copy.begin(site)
            site.wait_confirmed()
            for number in range(args.runs):
                for mode, waits in MODES.items():
                    for name, value in _run(site, waits, args).items():
                        found.setdefault(f"{mode}_{name}", []).append(value)
                print(f"run {number + 1} of {args.runs} done: {found}", file=sys.stderr)
        finally:
            site.end()
    return found


def _run(site: Site, waits: str, args: argparse.Namespace) -> dict[str, float]:
    """Both side by side, once."""
    with site.connect() as db:
        db.execute(f"ALTER SYSTEM SET synchronous_commit = {waits}")
        db.execute("SELECT pg_reload_conf()")
    site.wait_confirmed()
    idle = _counted(site)
    load = ("-n", "-c", str(args.clients), "-j", "2", "-T", str(args.seconds))
    alone = _tps(pgbench(site, *load))
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(pgbench, site, *load)
        times = [_counted(site)]
        while not running.done():
            times.append(_counted(site))
        beside = _tps(running.result())
    return {
        "counted_alone_s": idle,
        "counted_beside_s": statistics.median(times),
        "tps_alone": alone,
        "tps_beside": beside,
        "ratio": beside / alone,
    }


def _counted(site: Site) -> float:
    """Seconds that one count takes, of the whole command."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "resilience.replication", "witness", "--config", str(site.ship_config())]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=CHECKOUT)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - began


def _tps(said: str) -> float:
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found is not None
    return float(found[1])


if __name__ == "__main__":
    sys.exit(main())
