"""Plaza as it really runs: Postgres 15, the server as a process, and a keeper where ship would be."""

from __future__ import annotations

import io
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mastodon import Mastodon
from PIL import Image

from resilience import caches
from tests.vault_servers import claim

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
SCOPES = ["read", "write", "follow", "admin:read", "admin:write"]


FAILS = """
CREATE OR REPLACE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'meant' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER fails BEFORE INSERT ON ledger FOR EACH ROW WHEN ({}) EXECUTE FUNCTION fails()
"""


class Postgres:
    """One Postgres on a Unix socket, run by a user who isn't root."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self._options = "" if durable else " -c fsync=off"
        own = Path("/usr/lib/postgresql/15/bin")
        self._bin = own if own.exists() else caches.tools() / "usr/lib/postgresql/15/bin"
        self._env = dict(os.environ)
        if not own.exists():
            lib = caches.tools() / "usr/lib"
            self._env["LD_LIBRARY_PATH"] = f"{lib}/x86_64-linux-gnu:{lib}"

    def prepare(self) -> None:
        """Give the folder to the user who runs it."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")

    def create(self) -> None:
        """Make an empty cluster and start it."""
        self.prepare()
        options = ["-U", "plaza", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-k", "--wal-segsize=1"]
        self._run("initdb", "-D", str(self.folder / "data"), "--no-sync", *options)
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = f"-k {self.folder} -c listen_addresses= -c max_connections=200{self._options}"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", settings, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop, by default as a crash would."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "stop")

    def url(self, database: str) -> str:
        """How to reach a database."""
        return f"postgresql:///{database}?host={self.folder}&user=plaza"

    def new_database(self, template: str = "template1") -> str:
        """A database of one's own, copied from another one."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=self._env, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr


class Keeper(threading.Thread):
    """Stands where ship stands: takes what is in the outbox, says that it is held."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._kinds = [(site.folder / "outbox" / kind, site.folder / "held" / kind) for kind in ("ledger", "key")]
        self._ended = threading.Event()

    def run(self) -> None:
        """Keep on until ended."""
        while not self._ended.wait(0.01):
            for outbox, held in self._kinds:
                for path in sorted(outbox.glob("[0-9a-f]*")):
                    (held / path.stem).touch()
                    path.unlink(missing_ok=True)

    def end(self) -> None:
        """Hold nothing any more."""
        self._ended.set()
        self.join()


class Site:
    """One plaza: its folders, its database, its server."""

    def __init__(self, folder: Path, postgres: Postgres, database: str) -> None:
        self.folder = folder
        self.postgres = postgres
        self.database = database
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.server: subprocess.Popen[bytes] | None = None
        self.keeper: Keeper | None = None
        for name in ("media", "ledger", "outbox/ledger", "outbox/key", "outbox/media", "held/ledger", "held/key"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.settings = {
            "MEDIA_DIR": str(folder / "media"),
            "LEDGER_DIR": str(folder / "ledger"),
            "OUTBOX_DIR": str(folder / "outbox"),
            "HELD_DIR": str(folder / "held"),
            "LEDGER_KEY": str(folder / "ledger.key"),
            "VAPID_KEY": str(folder / "vapid.key"),
            "SIGNUPS_KEY": str(folder / "signups.key"),
            "PUBLIC_URL": self.base,
            "LISTEN": f"127.0.0.1:{self.port}",
            "ARGON2": "light",
            "LEDGER_WAIT_S": "30",
            "LINE_WAIT_S": "30",
        }
        write_key(folder / "ledger.key", Ed25519PrivateKey.generate())
        write_key(folder / "vapid.key", ec.generate_private_key(ec.SECP256R1()))
        (folder / "signups.key").write_bytes(Fernet.generate_key())

    @property
    def url(self) -> str:
        """How to reach the database."""
        return self.postgres.url(self.database)

    @property
    def env(self) -> dict[str, str]:
        """The environment that plaza is run with."""
        return {**os.environ, **self.settings, "DATABASE_URL": self.url}

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement, past the server."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def run(self, *arguments: str, fails: bool = False, within_s: float = 120) -> dict[str, Any]:
        """Run one of plaza's commands; its facts, or what it says when it has to fail."""
        command = [sys.executable, "-m", "resilience.plaza", *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self.env, cwd=ROOT, timeout=within_s
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        if fails:
            assert "Traceback" not in done.stderr
            return {"status": done.returncode, "said": done.stderr}
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    def launch(self) -> None:
        """Start the server, without waiting."""
        with (self.folder / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "resilience.plaza", "serve"]
            self.server = subprocess.Popen(command, env=self.env, cwd=ROOT, stdout=log, stderr=log)

    def start(self) -> None:
        """Start the server and the keeper; return when people may come in and write: on a busy machine keys come later."""
        self.launch()
        self.keep()
        wait_until(self._serves, self.log)
        wait_until(self.has_keys, self.log)

    def _serves(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.log()
        return self.ready()

    def keep(self) -> None:
        """Start the keeper."""
        if self.keeper is None:
            self.keeper = Keeper(self)
            self.keeper.start()

    def lose_keeper(self) -> None:
        """From now on nothing is held elsewhere."""
        if self.keeper is not None:
            self.keeper.end()
            self.keeper = None

    def ready(self) -> bool:
        """Whether the server says that it is ready."""
        try:
            return httpx.get(self.base + "/readyz", timeout=30).status_code == 200
        except httpx.HTTPError:
            return False

    def has_keys(self) -> bool:
        """Whether somebody's first text would find a key."""
        return self.sql("SELECT count(*) FROM ready_keys") != [(0,)]

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Stop the server; its exit status."""
        assert self.server is not None
        self.server.send_signal(sign)
        return self.server.wait(timeout=120)

    def end(self) -> None:
        """Leave nothing running."""
        self.lose_keeper()
        if self.server is not None and self.server.poll() is None:
            self.stop(signal.SIGKILL)

    def log(self) -> str:
        """What the server said so far."""
        path = self.folder / "server.log"
        return path.read_text() if path.exists() else ""

    def client(self, name: str, *, scopes: list[str] | None = None) -> Mastodon:
        """A new person with Mastodon.py in their hands."""
        scopes = scopes or SCOPES
        api = self.app(scopes)
        api.create_account(name, PASSWORD, f"{name}@users.test", agreement=True, scopes=scopes)
        return api

    def app(self, scopes: list[str]) -> Mastodon:
        """A registered app that nobody uses yet."""
        client_id, secret = Mastodon.create_app("tests", scopes=scopes, api_base_url=self.base)
        return Mastodon(client_id=client_id, client_secret=secret, api_base_url=self.base, ratelimit_method="throw")

    def moderator(self, name: str) -> Mastodon:
        """A new person who may moderate."""
        api = self.client(name)
        self.sql("UPDATE accounts SET role = 'moderator' WHERE username = %s", name)
        return api

    def http(self, api: Mastodon | None = None) -> httpx.Client:
        """A plain HTTP client, with somebody's token."""
        headers = {"Authorization": f"Bearer {api.access_token}"} if api else {}
        return httpx.Client(base_url=self.base, headers=headers, timeout=120)

    def take_down(self, moderator: Mastodon, status_id: str, reason: str = "against the rules") -> httpx.Response:
        """Take a post down by the API."""
        with self.http(moderator) as http:
            return http.post(f"/api/v1/admin/statuses/{status_id}/takedown", data={"reason": reason})

    @contextmanager
    def failing_ledger(self, entries: str) -> Iterator[None]:
        """The database takes none of these entries, as if its disk were full; the server is ready again afterwards."""
        self.sql(FAILS.format(entries))
        try:
            yield
        finally:
            self.sql("DROP TRIGGER fails ON ledger")
        wait_until(self.ready, self.log)

    def picture_file(self, sha256: str) -> Path:
        """Where a picture is stored."""
        return self.folder / "media" / sha256[:2] / sha256


def picture(seed: int = 0, kind: str = "JPEG", size: tuple[int, int] = (320, 240), **options: Any) -> bytes:
    """A real picture's bytes, another one for each seed."""
    tile = Image.frombytes("RGB", (40, 30), random.Random(seed).randbytes(3600))
    image = tile.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sha_of(url: str) -> str:
    """The hash in a picture's address."""
    return Path(url).stem


def write_key(path: Path, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    """A private key as a kit has it."""
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def free_port() -> int:
    """A port on loopback that nobody listens on.

    It is taken only later, when the server starts: so nobody else who asks here is given it, and it is below those that
    connections go out from.
    """
    while True:
        port = 10_000 + secrets.randbelow(10_000)
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            claim(port)
            return port


def wait_until(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 120) -> None:
    """Return when the condition holds; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket, that Postgres' user may enter."""
    folder = Path("/tmp") / f"plaza-{secrets.token_hex(4)}"  # noqa: S108 (sockets need short paths)
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A Postgres for as long as it is needed."""
    with short_folder() as folder:
        postgres = Postgres(folder, durable=durable)
        postgres.create()
        try:
            yield postgres
        finally:
            postgres.stop()


def migrated(postgres: Postgres) -> str:
    """A database with plaza's tables, to copy others from."""
    name = postgres.new_database()
    env = {**os.environ, "DATABASE_URL": postgres.url(name)}
    code = "import os; from resilience.plaza.migrations import migrate; migrate(os.environ['DATABASE_URL'])"
    subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=ROOT)
    return name
