"""scripts/bench media: what ship's cycle costs with nothing new, and how soon a picture is in its vaults, as their number grows.

One run, one ship, one database: pictures are added until the next size is reached, on the host and in every vault, and both are measured
again. Past --in-vaults the host alone has more: a million objects in a store are its own bench.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from resilience.replication import layout, seals
from scripts.benches._world import TICKS, Fleet, Site, fleet, store
from tests.replication.harness import site_folder, wait_until

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LINKS = 10_000
"""Names a file on this disk may have: what waits for nobody need not take a block of its own."""
PAUSE = 0.1


def main() -> int:
    """Grow and measure, print the table with ratios, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench media", description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="stop at so many objects")
    parser.add_argument(
        "--in-vaults", type=int, default=10_000, help="so many are really in each vault; the rest on the host only"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of idling at each size")
    parser.add_argument("--pictures", type=int, default=150, help="written one by one at each size")
    parser.add_argument("--json", type=Path, help="figures also into this file")
    args = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as stores, store(Path(stores)) as (at, _), site_folder() as folder:
        ours = fleet(at, secrets.token_hex(4), durability="async", spacing_ms=200)
        site = Site(folder, "acorn", ours, ours.seal("acorn"))
        try:
            site.begin()
            measured = list(_measured(site, args, figures))
        finally:
            site.end()
    _print(measured)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def _measured(
    site: Site, args: argparse.Namespace, figures: dict[str, float]
) -> Iterator[tuple[int, int, dict[str, float]]]:
    held = stored = 0
    for size in (size for size in SIZES if size <= args.most):
        _on_the_host(site, held, size)
        _in_the_vaults(site.fleet, stored, min(size, args.in_vaults))
        held, stored = size, min(size, args.in_vaults)
        found = {**_idle(site, args.seconds), **_shipped(site, args.pictures)}
        figures |= {f"{name} at {size}": value for name, value in found.items()}
        print(f"{size}: {found}", file=sys.stderr)
        yield size, stored, found


def _on_the_host(site: Site, first: int, last: int) -> None:
    """Names in the picture store, as the app keeps them; a file for every few thousand of them."""
    media, source = site.folder / "media", Path()
    for number in range(first, last):
        name = hashlib.sha256(b"%d" % number).hexdigest()
        (folder := media / name[:2]).mkdir(exist_ok=True)
        if number % LINKS == 0 or not source.name:
            source = folder / name
            source.write_bytes(b"a picture")
        else:
            os.link(source, folder / name)


def _in_the_vaults(ours: Fleet, first: int, last: int) -> None:
    """Objects in each vault, as ship would have put them."""
    data = seals.encrypt(b"a picture", [ours.recipient])
    keys = [layout.media(hashlib.sha256(b"%d" % number).hexdigest()) for number in range(first, last)]
    with ThreadPoolExecutor(16) as pool:
        for vault in ours.vaults().values():
            list(pool.map(lambda key, vault=vault: vault.put_new(key, data), keys))


def _idle(site: Site, seconds: float) -> dict[str, float]:
    """What ship uses while nothing is written."""
    wait_until(lambda: not any(facts["backlog_objects"] for facts in site.status()["vaults"].values()), site.told)
    pid, before = site.processes[0].pid, 0.0
    before, began = _cpu(pid), time.monotonic()
    calls = _calls(pid)
    time.sleep(seconds)
    took = time.monotonic() - began
    return {
        "idle CPU ms/s": (_cpu(pid) - before) / took * 1000,
        "idle reads+writes/s": (_calls(pid) - calls) / took,
    }


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _calls(pid: int) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["syscr"]) + int(fields["syscw"])


def _shipped(site: Site, count: int) -> dict[str, float]:
    """Seconds from when the app handed a picture over until k vaults, and until all, have it."""
    queues = [site.folder / "spool/outbox" / name / "media" for name in site.fleet.stores]
    quorum, everywhere = [], []
    for _ in range(count):
        picture = os.urandom(60_000)
        name = hashlib.sha256(picture).hexdigest()
        path = site.folder / "media" / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
        waiting = site.folder / "outbox/media" / name
        os.link(path, waiting)
        began, k_at = time.monotonic(), 0.0
        while True:
            there = 0 if waiting.exists() else sum(not (queue / name).exists() for queue in queues)
            now = time.monotonic() - began
            k_at = k_at or (now if there >= site.fleet.k else 0.0)
            if there == len(queues):
                break
            time.sleep(0.001)
        quorum.append(k_at)
        everywhere.append(now)
        time.sleep(PAUSE * secrets.randbelow(100) / 100)  # a person does not keep step with the cycle
    quorum.sort(), everywhere.sort()
    return {
        "shipped p50 s": statistics.median(quorum),
        "shipped p99 s": quorum[int(len(quorum) * 0.99)],
        "everywhere p99 s": everywhere[int(len(everywhere) * 0.99)],
    }


def _print(measured: list[tuple[int, int, dict[str, float]]]) -> None:
    """A Markdown table; in brackets the ratio to the first line."""
    names = list(measured[0][2])
    print(f"| objects | in each vault | {' | '.join(names)} |")
    print(f"|{'---|' * (len(names) + 2)}")
    first = measured[0][2]
    for size, stored, found in measured:
        cells = [
            f"{found[name]:.3g} ({found[name] / first[name]:.2f})" if first[name] else f"{found[name]:.3g}"
            for name in names
        ]
        print(f"| {size:,} | {stored:,} | {' | '.join(cells)} |")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"\nload {os.getloadavg()[1]:.0f}, commit {commit.stdout.strip()}")


if __name__ == "__main__":
    sys.exit(main())
