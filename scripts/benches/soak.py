"""scripts/bench soak: lives of a primary under random faults, seed after seed, from where it stopped last time.

What it found is appended to docs/soak.md, one dated line a call; --count says how many more seeds to live.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))
from resilience import caches  # noqa: E402
from tests.replication.chaos import Lineage, proxied  # noqa: E402
from tests.replication.conftest import buckets  # noqa: E402
from tests.replication.harness import site_folder  # noqa: E402
from tests.vault_servers import fake_gcs, seaweed  # noqa: E402

KEPT = CHECKOUT / "docs/soak.md"
FRESH = 10
"""Seeds of one lineage: then another database begins, so that histories stay short."""
LINE = re.compile(r"^\| [\d-]+ \| \w+ \| (?P<first>\d+) to (?P<last>\d+) \|", re.MULTILINE)


def main() -> int:
    """Live the next seeds, append what came of it."""
    parser = argparse.ArgumentParser(prog="scripts/bench soak", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="live up to this seed in all (default 100)")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no seed after so long")
    args = parser.parse_args()
    caches.use_programs()
    first = max((int(found["last"]) for found in LINE.finditer(KEPT.read_text())), default=0) + 1
    began, seed, rows, failed = time.monotonic(), first, 0, ""
    while seed <= args.count and not failed and time.monotonic() - began < args.minutes * 60:
        seed, found, failed = _lineage(seed, args.count, began + args.minutes * 60)
        rows += found
    if seed == first and not failed:
        print(f"all {args.count} seeds were lived before")
        return 0
    _append(first, seed - (0 if failed else 1), rows, failed, time.monotonic() - began)
    print(failed or f"seeds {first} to {seed - 1}: {rows} commits acknowledged, none missing")
    return 1 if failed else 0


def _lineage(seed: int, last: int, until: float) -> tuple[int, int, str]:
    """One database and its successors; the next seed, commits acknowledged, and what went wrong."""
    rows, begun = 0, seed
    with (
        tempfile.TemporaryDirectory(prefix="resilience-soak-") as folder,
        site_folder() as place,
        seaweed(Path(folder) / "s3") as s3,
        fake_gcs(Path(folder) / "gcs") as gcs,
        proxied(buckets({"s3": s3, "gcs": gcs})) as (fleet, proxies),
    ):
        lineage = Lineage(place, fleet, proxies, with_standby)
        try:
            while seed <= last and seed < begun + FRESH and time.monotonic() < until:
                rows = lineage.live(seed)
                print(f"{lineage.told}: {rows} acknowledged so far, none missing", file=sys.stderr)
                seed += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
            return seed, rows, f"{lineage.told}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        finally:
            lineage.end()
    return seed, rows, ""


def with_standby(seed: int) -> bool:
    """Two seeds in four, so that a standby that was not needed goes on to the next primary and its faults."""
    return seed // 2 % 2 == 1


def _append(first: int, last: int, rows: int, failed: str, seconds: float) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=CHECKOUT, check=True
    )
    today = dt.datetime.now(dt.UTC).date().isoformat()
    result = failed.replace("|", "/") or "none missing"
    line = f"| {today} | {commit.stdout.strip()} | {first} to {last} | {rows} | {result} | {seconds / 60:.1f} | {os.getloadavg()[1]:.0f} |"
    with KEPT.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
