"""scripts/bench pictures: what it takes to bring pictures to a host that has none, against what boto3 takes to get them alone.

`fetch-media`, as a failover runs it: asked for, opened, compared with their names and kept. One SeaweedFS, three vaults, in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from resilience.adapters.s3 import S3Vault
from resilience.replication import layout, seals
from resilience.replication.fetch_media import FETCHERS
from scripts.benches._world import Fleet, Site, fleet, store
from tests.replication.harness import site_folder

SMALLEST, LARGEST = 60_000, 100_000


def main() -> int:
    """Fill, measure both in turns, print the table with the ratio, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench pictures", description=__doc__)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="figures also into this file")
    args = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as stores, store(Path(stores)) as (at, _), site_folder() as folder:
        ours = fleet(at, secrets.token_hex(4), durability="async", spacing_ms=200)
        site = Site(folder, "acorn", ours, ours.seal("acorn"))
        keys = _in_the_vaults(ours, args.count)
        for number in range(1, args.runs + 1):
            alone = _measured(lambda: _alone(ours, keys), resource.RUSAGE_SELF, args.count)
            whole = _measured(lambda: _fetched(site, keys), resource.RUSAGE_CHILDREN, args.count)
            for what, (wall, cpu) in {"boto3 alone": alone, "fetch-media": whole}.items():
                figures |= {f"{what} {number} s": wall, f"{what} {number} CPU ms each": cpu}
                print(f"{number} {what:12} {wall:7.1f} s, CPU {cpu:5.2f} ms each")
            print(f"{number} ratio        {whole[0] / alone[0]:7.2f}    CPU {whole[1] / alone[1]:5.2f}")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"\n{args.count:,} pictures, load {os.getloadavg()[1]:.0f}, commit {commit.stdout.strip()}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def _in_the_vaults(ours: Fleet, count: int) -> list[str]:
    """Pictures of noise in every vault, as ship would have put them; their keys."""
    vaults = list(ours.vaults().values())

    def put(_: int) -> str:
        plain = os.urandom(SMALLEST + secrets.randbelow(LARGEST - SMALLEST))
        key, sealed = layout.media(hashlib.sha256(plain).hexdigest()), seals.encrypt(plain, [ours.recipient])
        for vault in vaults:
            vault.put_new(key, sealed)
        return key

    with ThreadPoolExecutor(FETCHERS) as pool:
        return list(pool.map(put, range(count)))


def _alone(ours: Fleet, keys: list[str]) -> None:
    """Each object once, by the client's own call and nothing more."""
    opened = [vault for vault in ours.vaults().values() if isinstance(vault, S3Vault)]
    vaults = [(vault.client, ours.stores[vault.name][1].bucket) for vault in opened]

    def get(numbered: tuple[int, str]) -> int:
        client, bucket = vaults[numbered[0] % len(vaults)]
        return len(client.get_object(Bucket=bucket, Key=numbered[1])["Body"].read())

    with ThreadPoolExecutor(FETCHERS) as pool:
        assert all(pool.map(get, enumerate(keys)))


def _fetched(site: Site, keys: list[str]) -> None:
    """The command, on a host without a picture."""
    media = site.folder / "media"
    shutil.rmtree(media)
    media.mkdir()
    config = site.config(named=[layout.picture(key) for key in keys])
    assert site.run("fetch-media", config=config)["fetched"] == len(keys)


def _measured(do: Callable[[], None], whose: int, count: int) -> tuple[float, float]:
    """Seconds, and milliseconds of CPU for each picture."""
    began, before = time.monotonic(), resource.getrusage(whose)
    do()
    took, after = time.monotonic() - began, resource.getrusage(whose)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, used / count * 1000


if __name__ == "__main__":
    sys.exit(main())
