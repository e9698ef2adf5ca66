"""A small world for the data plane: real Postgres, real stores, the commands as processes."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from resilience import caches
from resilience.errors import MissingPart
from resilience.model import EpochRecord, VaultSpec
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import lsn, seals
from resilience.replication.vaults import open_vault, place
from tests.vault_servers import Store

ROOT = Path(__file__).parents[2]


def postgres_bin() -> Path:
    """Postgres 15: the machine's own, else the one that set-up unpacked."""
    own = Path("/usr/lib/postgresql/15/bin")
    return own if own.exists() else caches.tools() / "usr/lib/postgresql/15/bin"


def pem(key: Ed25519PrivateKey) -> bytes:
    """A key as a host keeps it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


UNLOGGED = "in-no-log-and-no-copy"
"""What a table says that Postgres keeps out of its log."""


@dataclass
class Fleet:
    """Vaults, keys, and the epochs sealed so far."""

    stores: Mapping[str, tuple[Store, VaultSpec]]
    k: int = 2
    s: int = 2
    durability: str = "async"
    spacing_ms: int = 50
    lease_s: float = 30.0
    """A busy machine may let a ship wait for many seconds; tests of the lease have a shorter one."""
    operator: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    identity: str = field(default_factory=lambda: str(pyrage.x25519.Identity.generate()))
    records: list[EpochRecord] = field(default_factory=list)
    keys: dict[int, Ed25519PrivateKey] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    """The vault set of the next epoch; all vaults where empty."""
    half: tuple[float, int] = (0.0, 0)
    """When, and where in the WAL, the first half of a lost primary's rows was in the vaults, and nothing of the second."""

    @property
    def recipient(self) -> str:
        """Whom copies are encrypted to."""
        return str(pyrage.x25519.Identity.from_str(self.identity).to_public())

    def vaults(self, principal: str = "operator") -> dict[str, Vault]:
        """The vaults, opened."""
        return {name: open_vault(spec, store.credentials[principal]) for name, (store, spec) in self.stores.items()}

    def copy(self, stores: Mapping[str, tuple[Store, VaultSpec]]) -> Fleet:
        """The same fleet in other vaults, with every object as it is now."""
        same = replace(self, stores=stores, records=list(self.records), keys=dict(self.keys))
        theirs = same.vaults()
        with ThreadPoolExecutor(max_workers=8) as pool:
            for name, vault in self.vaults().items():
                keys = vault.list("")
                objects = pool.map(vault.get, keys)
                list(pool.map(theirs[name].put_new, keys, [data or b"" for data in objects]))
        return same

    def alter(self, name: str, key: str) -> None:
        """One bit of an object flips."""
        vault = self.vaults()[name]
        data = bytearray(vault.get(key) or b"")
        data[len(data) // 2] ^= 1
        vault.delete(key)
        vault.put_new(key, bytes(data))

    def check(self, payload: bytes, signature: str) -> bool:
        """Whether the operator signed."""
        return seals.verify(seals.public_hex(self.operator), payload, signature)

    def record(self, site: str, key: Ed25519PrivateKey) -> EpochRecord:
        """The next epoch, not sealed."""
        number = len(self.records) + 1
        return epochs.make_record(
            number=number,
            site=site,
            nonce=secrets.token_hex(8),
            parent=number - 1,
            vaults=self.members or tuple(self.stores),
            k=self.k,
            s=self.s,
            sealed_at=time.time(),
            signer=seals.public_hex(key),
            sign=seals.signer(self.operator),
        )

    def seal(self, site: str, key: Ed25519PrivateKey | None = None) -> EpochRecord:
        """Seal the next epoch for a site; with its own key only the vault set changes."""
        key = key or Ed25519PrivateKey.generate()
        record = self.record(site, key)
        vaults = self.vaults()
        epochs.seal_record(vaults, record, epochs.to_fence(vaults, record.parent, self.check), self.check)
        self.records.append(record)
        self.keys[record.number] = key
        return record


class Site:
    """One host's folders, its Postgres, and the commands run there."""

    def __init__(self, folder: Path, name: str, fleet: Fleet, record: EpochRecord) -> None:
        self.folder = folder / name
        self.name = name
        self.fleet = fleet
        self.bin = postgres_bin()
        self.port = 5432  # nobody listens at it: it only names a socket in the site's own folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}
        self.fsync = False
        self.more_options = ""
        """Server options of this place that no copy has."""
        user = pwd.getpwnam("postgres")
        outbox = ("outbox/media", "outbox/ledger", "outbox/key")
        for part in ("media", "ledger", *outbox, "held", "spool", "wal", "run", "socket"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        os.chown(self.folder / "socket", user.pw_uid, user.pw_gid)
        self.pg = self.folder / "pg"
        self.dsn = f"host={self.folder / 'socket'} port={self.port} user=postgres dbname=postgres"
        self.take(record)

    def take(self, record: EpochRecord) -> None:
        """Work under this epoch; where it lets this site write, with the key that signs in it."""
        self.record = record
        if record.site == self.name:
            (self.folder / "site.key").write_bytes(pem(self.fleet.keys[record.number]))

    def as_postgres(self, *argv: str) -> list[str]:
        """A command run as Postgres' user."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *argv]

    def pg_ctl(self, *argv: str) -> list[str]:
        """A pg_ctl command for this site's data directory."""
        log = str(self.folder / "socket/postgres.log")
        return self.as_postgres(str(self.bin / "pg_ctl"), "-D", str(self.pg), "-l", log, "-w", *argv)

    @property
    def options(self) -> str:
        """Server options that belong to the place, not to the data."""
        return f"-p {self.port} -k {self.folder / 'socket'} -c listen_addresses= {self.more_options}"

    def create(self, *settings: str, segment_mb: int = 1) -> None:
        """An empty database, started; on a disk of its own where one is mounted."""
        self.pg.mkdir(exist_ok=True)
        user = pwd.getpwnam("postgres")
        os.chown(self.pg, user.pw_uid, user.pw_gid)
        initdb = [
            str(self.bin / "initdb"),
            "-D",
            str(self.pg),
            "-k",
            f"--wal-segsize={segment_mb}",
            "-A",
            "trust",
            "-N",
        ]
        subprocess.run(
            self.as_postgres(*initdb, "--locale=C.UTF-8", "-E", "UTF8"), check=True, capture_output=True, cwd="/"
        )
        with (self.pg / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(["wal_level = replica", "max_wal_size = 64MB", "fsync = off", *settings]) + "\n")
        self.start()

    def start(self) -> None:
        """Start Postgres."""
        subprocess.run(self.pg_ctl("-o", self.options, "start"), check=True, capture_output=True, cwd="/")

    def restart(self) -> None:
        """Stop Postgres as an operator does, and start it."""
        subprocess.run(self.pg_ctl("-m", "fast", "stop"), check=True, capture_output=True, cwd="/")
        self.start()

    def kill_postgres(self) -> None:
        """As if the power went: SIGKILL for every process, nothing told to anybody."""
        assert self.servers(), "there was no Postgres to kill"
        while servers := self.servers():
            kill_all(servers)

    def servers(self) -> list[int]:
        """The processes of this site's Postgres, the postmaster first where it is alive: each of them works in the data directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (path / "cwd").readlink() == self.pg.resolve() and b"postgres" in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        return sorted(found, key=lambda pid: (pid != self._postmaster(), pid))

    def _postmaster(self) -> int | None:
        try:
            return int((self.pg / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def running(self) -> bool:
        """Whether Postgres runs here."""
        return subprocess.run(self.pg_ctl("status"), check=False, capture_output=True, cwd="/").returncode == 0

    def connect(self, **options: str) -> psycopg.Connection[Any]:
        """A connection to this site's Postgres."""
        return psycopg.connect(self.dsn, autocommit=True, **options)  # type: ignore[arg-type]

    def config(self, principal: str = "reader", **changes: Any) -> Path:
        """The configuration file for this site's commands, with one principal's credentials."""
        fleet, record = self.fleet, self.record
        names = ("pg", "media", "ledger", "outbox", "held", "spool", "wal", "run")
        value: dict[str, Any] = {
            "site": self.name,
            "fleet": "test",
            "epoch": asdict(record),
            "parent_epochs": [asdict(r) for r in fleet.records if r.number < record.number],
            "operator_public_key": seals.public_hex(fleet.operator),
            "signing_key_file": str(self.folder / "site.key"),
            "recipients": [fleet.recipient],
            "identity": fleet.identity,
            "vaults": [
                {
                    **place(spec),
                    "locked": spec.lock_days > 0,
                    "credentials": dict(store.credentials[principal]),
                    "write_credentials": dict(store.credentials["ship"]),
                    **({} if principal == "standby" else {"restic_password": "loopback-only"}),
                    **({} if principal == "ship" else {"standby_password": "of-standbys-only"}),
                }
                for store, spec in fleet.stores.values()
            ],
            "sealed": list(fleet.stores),
            "spacing_ms": fleet.spacing_ms,
            "lease_s": fleet.lease_s,
            "durability": fleet.durability,
            "paths": {
                **{n: str(self.folder / n) for n in names},
                "restic": str(caches.restic()),
                "settings": [str(self.folder / "settings/host.conf"), str(self.folder / "settings/absent.conf")],
            },
            "postgres": {
                "dsn": self.dsn,
                "start": self.pg_ctl("-o", self.options, "start"),
                "stop": self.pg_ctl("-m", "fast", "stop"),
                "resume": [self.pg_ctl("-o", self.options, "start")],
                "bin": str(self.bin),
                "fsync": self.fsync,
            },
        }
        value |= changes
        path = self.folder / f"config-{secrets.token_hex(4)}.json"
        path.write_text(json.dumps(value))
        return path

    def ship_config(self, **changes: Any) -> Path:
        """The configuration that stays on a primary: it may put, and read nothing."""
        return self.config("ship", identity=None, **changes)

    def run(self, command: str, *argv: str, config: Path | None = None, fails: bool = False) -> dict[str, Any]:
        """Run one command to its end; its answer, or its error where one is expected."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "resilience.replication", command, "--config", str(config or self.config()), *argv],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            timeout=300,
        )
        (self.folder / f"{command}.log").write_text(done.stderr)
        print(command, round(time.monotonic() - began, 2), "s")  # noqa: T201 - pytest -s shows it
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        told: dict[str, Any] = answer["error"] if fails else answer
        return told

    def begin_with(self, program: str) -> None:
        """What this site's background processes are to run before all else, in Python."""
        first = self.folder / "first"
        first.mkdir()
        (first / "sitecustomize.py").write_text(program)
        self.environment["PYTHONPATH"] = f"{first}:{ROOT}"

    def ship(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start ship in the background."""
        return self._background("ship", config or self.ship_config())

    def follow(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start follow in the background."""
        return self._background("follow", config or self.config(standby=True))

    def guard(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the guard of the lease in the background."""
        return self._background("guard", config or self.ship_config())

    def _background(self, command: str, config: Path) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "resilience.replication", command, "--config", str(config)],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.environment},
            )
        self.processes.append(process)
        return process

    def standby_status(self) -> dict[str, Any]:
        """What a standby says; empty while it says nothing."""
        try:
            told: dict[str, Any] = json.loads((self.folder / "run/follow-status.json").read_text())
        except FileNotFoundError:
            return {}
        return told

    def has(self, rows: int) -> bool:
        """Whether so many rows can be read here."""
        try:
            return len(self.rows()) == rows
        except psycopg.Error:
            return False

    def told_by_standby(self) -> str:
        """What follow says of itself, for a failing test."""
        log = self.folder / "socket/postgres.log"
        postgres = log.read_text()[-1500:] if log.exists() else ""
        return f"follow: {self.standby_status()} {(self.folder / 'follow.log').read_text()[-3000:]} {postgres}"

    def status(self) -> dict[str, Any]:
        """Ship's status; empty while there is none."""
        try:
            told: dict[str, Any] = json.loads((self.folder / "run/ship-status.json").read_text())
        except FileNotFoundError:
            return {}
        return told

    def told(self) -> str:
        """What ship says of itself, for a failing test."""
        return f"ship: {self.status()} {(self.folder / 'ship.log').read_text()[-3000:]}"

    def wal_end(self) -> int:
        """Where this Postgres has flushed to."""
        with self.connect() as db:
            row = db.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return lsn.parse(row[0])

    def wait_confirmed(self, position: int | None = None) -> int:
        """Wait until ship confirmed all that is flushed now; the position."""
        target = self.wal_end() if position is None else position
        wait_until(lambda: lsn.parse(self.status().get("confirmed_lsn", "0/0")) >= target, self.told)
        return target

    def wait_everywhere(self) -> int:
        """Wait until each vault has all that is flushed now, not only k of them; the position."""
        target = self.wait_confirmed()
        wait_until(lambda: all(lsn.parse(v["lsn"]) >= target for v in self.status()["vaults"].values()), self.told)
        return target

    def leased_until(self) -> float:
        """When the lease ends that is noted here."""
        return float(json.loads((self.folder / "run/lease.json").read_text())["until"])

    def wait_renewed(self) -> None:
        """Wait for the lease to be renewed."""
        before = self.leased_until()
        wait_until(lambda: self.leased_until() > before, self.told)

    def begin(self, *settings: str) -> None:
        """An empty database that ships, with a snapshot in every vault."""
        self.create(*settings)
        with self.connect() as db:
            db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
            db.execute(f"CREATE UNLOGGED TABLE words AS SELECT '{UNLOGGED}' AS word")
            db.execute("CREATE SEQUENCE shown")
            db.execute("SELECT nextval('shown')")
            db.execute("CREATE INDEX ON words (word)")
            db.execute("VACUUM FULL words")  # so that it is on the disk, and not in memory alone
        self.ship()
        self.run("init-repo", config=self.config("operator"))
        self.wait_confirmed()
        with self.connect() as mine:
            mine.execute(f"CREATE TEMPORARY TABLE own AS SELECT '{UNLOGGED}' AS word")
            mine.execute("VACUUM FULL own")
            assert list((self.folder / "pg/base").glob("*/t*_*"))
            taken = self.run("snapshot", config=self.ship_config())
        assert set(taken["snapshots"]) == set(self.record.vaults), taken

    def read_back(self, taken: Mapping[str, str]) -> None:
        """What the operator does with a snapshot: the reader reads it back from each of these vaults, and ship is told."""
        found = [
            self.run("verify-snapshot", "--vault", name, "--snapshot", taken[name], config=self.config("reader"))
            for name in taken
        ]
        assert all(copy["ok"] for copy in found), found
        words = ("--vaults", *taken, "--from", found[0]["needs_from"], "--at", str(found[0]["at"]))
        self.run("read-back", *words, config=self.ship_config())

    def snapshot_as_standby(self) -> dict[str, str]:
        """What a standby's snapshot takes: the operator makes the repositories before, and signs after. Ids by vault."""
        self.run("init-repo", "--standby", config=self.config("operator", standby=True, identity=None))
        told = self.run("standby-snapshot", config=self.config("standby", standby=True, identity=None))
        sign = seals.signer(self.fleet.operator)
        taken = labels.certify(self.fleet.vaults(), self.record, self.name, told["labels"], sign)
        assert set(taken) == set(self.record.vaults), told
        return dict(taken)

    def ask_for_quorum(self) -> None:
        """From now on commits wait for ship; Postgres reads its settings anew in its own time."""
        with self.connect() as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = 'ship'")
            db.execute("SELECT pg_reload_conf()")
            wait_until(lambda: db.execute("SHOW synchronous_standby_names").fetchone() == ("ship",), "commits to wait")

    def insert(self, first: int, last: int, **options: str) -> None:
        """Rows with these numbers, one commit each."""
        with self.connect(**options) as db:
            for n in range(first, last + 1):
                db.execute("INSERT INTO rows VALUES (%s, repeat('x', 200))", (n,))

    def skipped_numbers(self) -> bool:
        """Whether the next number of a sequence is far past any that somebody may have seen."""
        with self.connect() as db:
            row = db.execute("SELECT nextval('shown')").fetchone()
        assert row is not None
        return bool(row[0] > 100_000)

    def rows(self) -> list[int]:
        """Numbers of the rows that are there."""
        with self.connect() as db:
            return [n for (n,) in db.execute("SELECT n FROM rows ORDER BY n").fetchall()]

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        while servers := self.servers():
            kill_all(servers)


def kill_all(pids: list[int]) -> None:
    """SIGKILL for each; none is left afterwards, not even for its parent to ask about: Postgres takes that for alive."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "what was killed to end")


def wait_until(condition: Callable[[], object], what: str | Callable[[], str], seconds: float = 240.0) -> None:
    """Poll until a condition holds; what is not told yet does not hold yet."""
    deadline = time.monotonic() + seconds

    def holds() -> bool:
        try:
            return bool(condition())
        except KeyError:
            return False

    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what if isinstance(what, str) else what()}")
        time.sleep(0.05)


@contextmanager
def site_folder() -> Iterator[Path]:
    """A folder that Postgres' user may enter; the one of pytest is closed to it."""
    folder = Path("/tmp") / f"resilience-{secrets.token_hex(4)}"  # noqa: S108 - sockets need short paths
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Fleet", "MissingPart", "Site", "kill_all", "site_folder", "wait_until"]
