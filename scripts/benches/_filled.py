"""Databases of any size: filled by pgbench without WAL, and copied, so that each way begins with the same one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from scripts.benches._world import Site, pgbench

PER_GB = 68
"""pgbench scales to a gigabyte."""
QUICKLY = "-c wal_level=minimal -c max_wal_senders=0 -c fsync=off -c maintenance_work_mem=1GB"


def scale(gigabytes: float) -> str:
    """The pgbench scale of a database this large."""
    return str(max(1, round(gigabytes * PER_GB)))


def fill(site: Site, gigabytes: float, *settings: str) -> None:
    """A database this large, stopped, on the disk; started, it has these settings."""
    site.more_options = QUICKLY
    site.create(*settings)
    pgbench(site, "-i", "-q", "-s", scale(gigabytes))
    subprocess.run(site.pg_ctl("-m", "fast", "stop"), check=True, capture_output=True, cwd="/")
    site.more_options = ""
    os.sync()


def lay(filled: Path, site: Site, *settings: str, segment_mb: int) -> None:
    """Start a copy of a filled database, its files in memory as a running database's are, and those of the first not."""
    subprocess.run(["cp", "--reflink=auto", "-a", str(filled), str(site.pg)], check=True)
    tool = [str(site.bin / "pg_resetwal"), f"--wal-segsize={segment_mb}", "-D", str(site.pg)]
    subprocess.run(site.as_postgres(*tool), check=True, capture_output=True, cwd="/")
    with (site.pg / "postgresql.conf").open("a") as conf:
        conf.write("\n".join([f"min_wal_size = {5 * segment_mb}MB", *settings]) + "\n")  # initdb's, of this size
    os.sync()
    for path in filled.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    site.start()


__all__ = ["fill", "lay", "scale"]
