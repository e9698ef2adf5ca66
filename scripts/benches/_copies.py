"""Ways to copy a database's WAL away, side by side: none, ours, pgBackRest, pg_receivewal with restic."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from pathlib import Path

import boto3
import psycopg
from psycopg.rows import TupleRow

from resilience import caches
from resilience.ports import Vault
from resilience.replication import layout, lsn
from scripts.benches._world import Fleet, Site, Store, fleet, run_in_memory, stored, until
from tests.vault_servers import SECRET, make_bucket

SEGMENT = 16 << 20


class Copy(ABC):
    """One way: begun beside a running Postgres, killed with it; what it left in the store is what counts."""

    name = ""
    settings: tuple[str, ...] = ()
    segment_mb = 16
    copies = 0
    """How many copies of the WAL it keeps."""

    def __init__(self, at: Store, tls: int, tag: str) -> None:
        self.at, self.tls, self.tag = at, tls, tag

    def place(self, folder: Path) -> Site:
        """The host."""
        made = self.fleet()
        return Site(folder, "acorn", made, made.seal("acorn"))

    def fleet(self) -> Fleet:
        """Vaults; used by ours alone."""
        return fleet(self.at, self.tag, durability="async", spacing_ms=200)

    @abstractmethod
    def begin(self, site: Site) -> None:
        """Copy from now on."""

    @abstractmethod
    def end(self, site: Site) -> int:
        """Up to which position the WAL is in the store."""

    @abstractmethod
    def bytes(self, site: Site) -> int:
        """Stored bytes of WAL."""

    @abstractmethod
    def kill(self, site: Site) -> None:
        """SIGKILL, as if the power went."""


class Nothing(Copy):
    """The floor: Postgres with no copy at all."""

    name = "no copy"

    def begin(self, site: Site) -> None:
        """Nothing."""

    def end(self, site: Site) -> int:
        """Nothing is anywhere."""
        return 0

    def bytes(self, site: Site) -> int:
        """Nothing."""
        return 0

    def kill(self, site: Site) -> None:
        """Nothing."""


class Ours(Copy):
    """ship into three vaults."""

    name = "ours, async, 3 vaults"
    segment_mb = 1
    copies = 3
    settings = ("synchronous_commit = local",)
    durability, spacing_ms = "async", 200

    def place(self, folder: Path) -> Site:
        """As a host has it."""
        return run_in_memory(super().place(folder))

    def fleet(self) -> Fleet:
        """Three vaults, k = s = 2."""
        return fleet(self.at, self.tag, durability=self.durability, spacing_ms=self.spacing_ms)

    def begin(self, site: Site) -> None:
        """Start ship; commits wait where `synchronous_commit` says so."""
        site.ship()
        site.wait_confirmed()
        with site.connect() as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = 'ship'")
            db.execute("SELECT pg_reload_conf()")

    def end(self, site: Site) -> int:
        """Where the last chunk in any vault ends."""
        ends = [0]
        for vault in site.fleet.vaults().values():
            chunks = [key for key in vault.list(layout.wal(1)) if layout.chunk_start(key) is not None]
            data = vault.get(chunks[-1]) if chunks else None
            ends.append(lsn.parse(json.loads((data or b"{}").partition(b"\n")[0])["end"]) if data else 0)
        return max(ends)

    def bytes(self, site: Site) -> int:
        """All chunks in all vaults."""
        return sum(stored(self.at, spec.bucket, layout.WAL) for _, spec in site.fleet.stores.values())

    def kill(self, site: Site) -> None:
        """Ship dies."""
        site.processes[-1].kill()
        site.processes[-1].wait()


class OursToTwo(Ours):
    """As many copies as the rival keeps: for what a copy costs."""

    name = "ours, async, 2 vaults"
    copies = 2

    def fleet(self) -> Fleet:
        """Two vaults, k = 1, s = 2."""
        made = fleet(self.at, self.tag, durability="async", spacing_ms=200)
        made.stores, made.k = {name: made.stores[name] for name in ("birch", "cedar")}, 1
        return made


class OursQuorum(Ours):
    """Commits wait for two vaults of three."""

    name = "ours, quorum 2 of 3"
    settings = ("synchronous_commit = on",)
    durability, spacing_ms = "quorum", 10


class Puts(Nothing):
    """The floor of a copy: nothing is read or packed, but as many bytes as ours come to are put as often into the same stores."""

    name = "no copy, bytes put, 3 vaults"
    copies = 3
    PACKED, SPACING_S = 0.06, 0.2

    def begin(self, site: Site) -> None:
        """Start putting; its own CPU is the bench's, and counted as nobody's."""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._put, args=(site,), daemon=True)
        self.thread.start()

    def _put(self, site: Site) -> None:
        vaults, apart = list(site.fleet.vaults().values()), secrets.token_hex(4)
        with site.connect() as db, ThreadPoolExecutor(max_workers=len(vaults)) as pool:
            held = _flushed(db)
            for number in count():
                if self.ended.wait(self.SPACING_S):
                    return
                end = _flushed(db)
                chunk = os.urandom(round((end - held) * self.PACKED))
                if chunk:
                    list(pool.map(_put_new, vaults, repeat(f"{layout.WAL}{apart}/{number:08}"), repeat(chunk)))
                held = end

    def bytes(self, site: Site) -> int:
        """All that was put."""
        return sum(stored(self.at, spec.bucket, layout.WAL) for _, spec in site.fleet.stores.values())

    def kill(self, site: Site) -> None:
        """Put no more."""
        self.ended.set()
        self.thread.join()


def _flushed(db: psycopg.Connection[TupleRow]) -> int:
    row = db.execute("SELECT pg_current_wal_flush_lsn() - '0/0'").fetchone()
    return int(row[0]) if row else 0


def _put_new(vault: Vault, key: str, data: bytes) -> bool:
    return vault.put_new(key, data)


class Streamed(Nothing):
    """The floor of reading: PostgreSQL's own receiver takes the stream as fast as it comes, and what it writes stays in memory."""

    name = "no copy, stream read by pg_receivewal"

    def begin(self, site: Site) -> None:
        """Start receiving."""
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="resilience-bench-"))
        where = ["-h", str(site.folder / "socket"), "-p", str(site.port), "-U", "postgres"]
        tool = [str(site.bin / "pg_receivewal"), *where, "-D", str(self.folder), "-S", "streamed"]
        with site.connect() as db:  # a slot would keep all that is written while others have their turn
            db.execute("SELECT pg_create_physical_replication_slot('streamed', true)")
        self.receiver = subprocess.Popen(tool, stderr=subprocess.DEVNULL)
        until(lambda: any(self.folder.iterdir()))

    def kill(self, site: Site) -> None:
        """Receive no more, and keep nothing of it."""
        self.receiver.kill()
        self.receiver.wait()
        shutil.rmtree(self.folder)
        with site.connect() as db:
            db.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'streamed'")
            until(lambda: not _streamed(db))
            db.execute("SELECT pg_drop_replication_slot('streamed')")


def _streamed(db: psycopg.Connection[TupleRow]) -> bool:
    row = db.execute("SELECT active FROM pg_replication_slots WHERE slot_name = 'streamed'").fetchone()
    return bool(row and row[0])


class Least(Puts):
    """The least that a copy can do: both floors at once."""

    name = "the least: stream read, bytes put, 3 vaults"

    def __init__(self, at: Store, tls: int, tag: str) -> None:
        super().__init__(at, tls, tag)
        self.streamed = Streamed(at, tls, tag)

    def begin(self, site: Site) -> None:
        """Start receiving and putting."""
        self.streamed.begin(site)
        super().begin(site)

    def kill(self, site: Site) -> None:
        """Do neither any more."""
        super().kill(site)
        self.streamed.kill(site)


class PgBackRest(Copy):
    """pgBackRest with archive-async and two encrypted repositories."""

    name = "pgBackRest, async, 2 repositories"
    copies = 2
    program = ""

    def __init__(self, at: Store, tls: int, tag: str) -> None:
        super().__init__(at, tls, tag)
        self.root = Path(f"/tmp/resilience-rival-{tag}")  # noqa: S108 - Postgres' user must get at it
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(Path(self.program).parents[1], self.root, symlinks=True)
        for part in ("spool", "log", "lock"):
            (self.root / part).mkdir(mode=0o777)
            (self.root / part).chmod(0o777)
        self.command = f"{self.root}/bin/pgbackrest --config={self.root}/rest.conf --stanza=demo"
        archive = f"archive_command = '{self.command} archive-push %p'"
        self.settings = ("archive_mode = on", archive, "archive_timeout = 60")

    def begin(self, site: Site) -> None:
        """Configure, and make the stanza in both repositories."""
        lines = [
            "[global]",
            "archive-async=y",
            "process-max=2",
            f"spool-path={self.root}/spool",
            f"log-path={self.root}/log",
            f"lock-path={self.root}/lock",
            "log-level-console=warn",
        ]
        for number in (1, 2):
            make_bucket(self.at, f"rest{number}-{self.tag}")
            repo = {
                "type": "s3",
                "path": "/repo",
                "cipher-type": "aes-256-cbc",
                "cipher-pass": SECRET,
                "s3-bucket": f"rest{number}-{self.tag}",
                "s3-region": "us-east-1",
                "s3-endpoint": "127.0.0.1",
                "s3-key": "operator",
                "s3-key-secret": SECRET,
                "s3-uri-style": "path",
                "storage-host": "127.0.0.1",
                "storage-port": self.tls,
                "storage-verify-tls": "n",
                "retention-full": 1,
            }
            lines += [f"repo{number}-{key}={value}" for key, value in repo.items()]
        lines += ["[demo]", f"pg1-path={site.pg}", f"pg1-port={site.port}", f"pg1-socket-path={site.folder / 'socket'}"]
        (self.root / "rest.conf").write_text("\n".join(lines) + "\n")
        self.run(site, "stanza-create")

    def run(self, site: Site, *argv: str) -> None:
        """One of its commands, as Postgres' user."""
        subprocess.run(site.as_postgres(*self.command.split(), *argv), check=True, cwd="/")

    def _segments(self) -> list[int]:
        """Segments that are in both or either repository."""
        who = self.at.credentials["operator"]
        client = boto3.client(
            "s3",
            endpoint_url=self.at.endpoint,
            region_name="us-east-1",
            aws_access_key_id=who["access_key_id"],
            aws_secret_access_key=who["secret_access_key"],
        )
        found = set()
        for number in (1, 2):
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=f"rest{number}-{self.tag}", Prefix="repo/archive/demo/"
            )
            names = [entry["Key"].rpartition("/")[2] for page in pages for entry in page.get("Contents", [])]
            found |= {n[8:24] for n in names if re.match(r"[0-9A-F]{24}-", n)}
        return sorted(int(n[:8], 16) * (0x100000000 // SEGMENT) + int(n[8:], 16) for n in found)

    def end(self, site: Site) -> int:
        """After the last segment."""
        segments = self._segments()
        return (segments[-1] + 1) * SEGMENT if segments else 0

    def bytes(self, site: Site) -> int:
        """All segments in both repositories."""
        return sum(stored(self.at, f"rest{number}-{self.tag}", "repo/archive/") for number in (1, 2))

    def kill(self, site: Site) -> None:
        """Its programs run only as Postgres' children; the asynchronous one too is killed."""
        subprocess.run(["pkill", "-KILL", "-f", f"{self.root}/"], check=False)


class Received(Copy):
    """pg_receivewal on this host, and restic over its folder every few seconds."""

    name = "pg_receivewal + restic"
    copies = 1
    EVERY = 5.0

    def begin(self, site: Site) -> None:
        """Start both."""
        self.folder = site.folder / "received"
        self.folder.mkdir()
        self.held, self.stop = 0, threading.Event()
        where = ["-h", str(site.folder / "socket"), "-p", str(site.port), "-U", "postgres"]
        tool = [str(site.bin / "pg_receivewal"), *where, "-D", str(self.folder), "-S", "received", "-s", "1"]
        subprocess.run([*tool, "--create-slot"], check=True)
        self.receiver = subprocess.Popen(tool, stderr=subprocess.DEVNULL)
        self.bucket = make_bucket(self.at, f"received-{self.tag}").bucket
        who = self.at.credentials["operator"]
        self.env = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": who["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": who["secret_access_key"],
            "RESTIC_PASSWORD": SECRET,
            "RESTIC_REPOSITORY": f"s3:{self.at.endpoint}/{self.bucket}",
            "RESTIC_CACHE_DIR": str(site.folder / "restic-cache"),
        }
        subprocess.run([str(caches.restic()), "init", "-q"], check=True, env=self.env)
        self.site = site
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()
        until(lambda: self.held > 0)

    def _loop(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            with self.site.connect() as db:
                row = db.execute("SELECT write_lsn::text FROM pg_stat_replication").fetchone()
            argv = [str(caches.restic()), "backup", "-q", "--no-scan", str(self.folder)]
            done = subprocess.run(argv, check=False, env=self.env, capture_output=True)
            if done.returncode == 0 and row and row[0]:
                self.held = lsn.parse(row[0])
            self.stop.wait(max(0.0, self.EVERY - (time.monotonic() - began)))

    def end(self, site: Site) -> int:
        """What the last finished snapshot held."""
        return self.held

    def bytes(self, site: Site) -> int:
        """The repository."""
        return stored(self.at, self.bucket, "data/")

    def kill(self, site: Site) -> None:
        """Both die."""
        self.stop.set()
        self.receiver.kill()
        self.receiver.wait()


ALL = (Nothing, Ours, OursToTwo, OursQuorum, PgBackRest, Received)
GROWN = (Nothing, Puts, Ours, OursQuorum, PgBackRest, Received)
"""Measured beside databases of several sizes."""
