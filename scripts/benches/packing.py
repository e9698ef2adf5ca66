"""scripts/bench packing: what WAL of pgbench takes, packed in several ways, and the CPU of it; with and without wal_compression.

The same transactions on the same rows each time, begun right after a checkpoint: pages are logged whole as often as
they ever are. Pieces are as large as a full chunk (4 MiB), and as a busy quorum's (256 KiB).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
import zstandard

from resilience import caches
from resilience.replication import lsn, packing
from scripts.benches._world import Site, pgbench
from tests.replication.harness import Fleet, site_folder

MIB = 1 << 20
PIECES = (4 * MIB, MIB // 4)
COMPRESSIONS = ("off", "lz4", "zstd")
SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 1h", "wal_keep_size = 4GB")
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "ours": packing.pack,
    "zstd 1": lambda wal: zstandard.ZstdCompressor(level=1).compress(wal),
    "zstd 9": lambda wal: zstandard.ZstdCompressor(level=9).compress(wal),
    "zlib 1 (format 1)": lambda wal: zlib.compress(wal, 1),
    "zlib 6 (pgBackRest's)": lambda wal: zlib.compress(wal, 6),
}


def main() -> int:
    """Make WAL, pack it, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench packing", description=__doc__)
    parser.add_argument("--scale", type=int, default=30, help="pgbench scale: 15 MB each (default 30)")
    parser.add_argument("--transactions", type=int, default=4000, help="of each of four clients (default 4000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: number} there")
    args = parser.parse_args()
    caches.use_programs()
    figures: dict[str, float] = {}
    print(
        f"{'wal_compression':16}{'WAL MB':>8}  {'packed by':24}{'piece KiB':>10}{'MB':>8}{'ratio':>8}{'CPU s/GB':>10}"
    )
    for compression in COMPRESSIONS:
        wal = _wal(compression, args.scale, args.transactions)
        for way, pack in WAYS.items():
            for piece in PIECES:
                stored, cpu = _packed(wal, piece, pack)
                told = f"{len(wal) / 1e6:8.1f}  {way:24}{piece >> 10:10}{stored / 1e6:8.2f}{stored / len(wal):8.4f}"
                print(f"{compression:16}{told}{cpu / len(wal) * 1e9:10.2f}")
                figures[f"{compression}, {way}, {piece >> 10} KiB"] = stored / len(wal)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _wal(compression: str, scale: int, transactions: int) -> bytes:
    """WAL of so many transactions, whole segments but for the last."""
    fleet = Fleet({}, members=("birch",), k=1, s=1)
    record = fleet.record("acorn", fleet.operator)
    fleet.keys[record.number] = fleet.operator
    with site_folder() as folder:
        site = Site(folder, "acorn", fleet, record)
        try:
            site.create(*SETTINGS, f"wal_compression = {compression}", segment_mb=1)
            pgbench(site, "-i", "-q", "-s", str(scale))
            with site.connect() as db:
                db.execute("CHECKPOINT")
            begins = site.wal_end()
            pgbench(site, "-n", "-c", "4", "-t", str(transactions), "--random-seed=7")
            return b"".join(_segments(site, begins, site.wal_end()))
        finally:
            site.end()


def _segments(site: Site, begins: int, ends: int) -> Iterator[bytes]:
    for start in range(begins // MIB + 1, ends // MIB):
        yield (site.pg / "pg_wal" / f"{1:08X}{start >> 12:08X}{start & 0xFFF:08X}").read_bytes()
    print(f"  {lsn.show(begins)} to {lsn.show(ends)}", file=sys.stderr)


def _packed(wal: bytes, piece: int, pack: Callable[[bytes], bytes]) -> tuple[int, float]:
    """Bytes that it takes in pieces, and CPU seconds."""
    pieces = [wal[at : at + piece] for at in range(0, len(wal), piece)]
    began = time.process_time()
    stored = sum(len(pack(part)) for part in pieces)
    return stored, time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
