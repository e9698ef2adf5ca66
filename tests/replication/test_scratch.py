"""Copies beside everything else: at a moment, from one vault alone, and never short without a word."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from resilience import caches
from resilience.replication import layout, lsn, seals
from resilience.replication.apart import give, split
from resilience.replication.config import load
from resilience.replication.layout import repository
from resilience.replication.restic import Repository
from tests.replication import thief
from tests.replication.conftest import HALF
from tests.replication.harness import UNLOGGED, Fleet, Site, wait_until


def copy_beside(reader: Site, command: str, *argv: str, fails: bool = False) -> tuple[dict[str, Any], list[int]]:
    """Run a command in fresh folders, with credentials that only read; its answer, and the rows of its copy."""
    place = reader.folder / f"copy{time.monotonic_ns()}"
    paths = {name: str(place / name) for name in ("pg", "media", "ledger", "outbox", "held", "spool", "wal", "run")}
    place.mkdir()
    config = reader.config(standby=True, signing_key_file=None, paths={**paths, "restic": str(caches.restic())})
    told = reader.run(command, *argv, config=config, fails=fails)
    return told, [] if fails or command == "verify" else rows_in(reader, place)


@pytest.fixture
def beside(sites: Callable[..., Site], lost: Fleet) -> Callable[..., Any]:
    """Copies of what a lost primary left."""
    return partial(copy_beside, sites(lost, "reader", standby=True))


def rows_in(site: Site, place: Path) -> list[int]:
    """The rows of a stopped copy."""
    control = site.as_postgres(str(site.bin / "pg_ctl"), "-D", str(place / "pg"), "-w")
    options = f"-c listen_addresses= -k {place}/run -c hba_file={place}/run/hba.conf"
    subprocess.run(
        [*control, "-l", f"{place}/run/log", "-o", options, "start"], check=True, capture_output=True, cwd="/"
    )
    try:
        with psycopg.connect(f"host={place}/run user=postgres dbname=postgres") as db:
            return [n for (n,) in db.execute("SELECT n FROM rows ORDER BY n").fetchall()]
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd="/")


def chunks(fleet: Fleet) -> list[str]:
    """Names of all chunks."""
    return [k for k in fleet.vaults()["elm"].list("wal/") if layout.chunk_start(k) is not None]


def test_at_a_position_and_at_all(beside: Callable[..., Any], lost: Fleet) -> None:
    """A copy holds what was committed by then and nothing after; a position past the end is refused."""
    starts = sorted(s for k in chunks(lost) if (s := layout.chunk_start(k)) is not None)
    everything, rows = beside("restore-at")
    assert rows == list(range(1, 201))
    middle = next(start for start in starts if start >= lost.half[1])
    half, some = beside("restore-at", "--at", lsn.show(middle))
    assert some == list(range(1, HALF + 1))
    assert lsn.parse(half["end_lsn"]) == middle < lsn.parse(everything["end_lsn"])
    past = lsn.show(lsn.parse(everything["end_lsn"]) + 1000)
    told, _ = beside("restore-at", "--at", past, fails=True)
    assert "good_until" in told or "end" in told["what"], told


def test_at_a_time(beside: Callable[..., Any], lost: Fleet) -> None:
    """A time between two writes gives the first and not the second; one that the vaults don't reach is refused."""
    told, _ = beside("restore-at", "--at", "2999-01-01", fails=True)
    assert told["kind"] == "Refused"
    assert "short of what was asked for" in told["why"]
    told, _ = beside("restore-at", "--at", "yesterday", fails=True)
    assert "neither a position nor a time" in told["what"]
    from datetime import UTC, datetime

    _, rows = beside("restore-at", "--at", datetime.fromtimestamp(lost.half[0], UTC).isoformat())
    assert rows == list(range(1, HALF + 1))


def test_each_vault_by_itself(
    beside: Callable[..., Any], lost: Fleet, sites: Callable[..., Site], tmp_path: Path
) -> None:
    """Every vault alone gives the same rows and contents; a vault that lost a chunk, or has one altered, is told.

    A snapshot that a thief made up is passed over, and nothing on this machine is written through its links.
    """
    victim = tmp_path / "victim"
    victim.mkdir()
    thief.plant(lost, sites(lost, "acorn", standby=True), thief.make_up(tmp_path, victim), ["birch"])
    found = {vault: beside("verify", "--vault", vault)[0] for vault in ("birch", "elm")}
    assert not list(victim.iterdir())
    assert {f["rows"] for f in found.values()} == {200}
    (planted,) = found["birch"]["passed_over"]
    assert planted["epoch"] == found["birch"]["epoch"]
    assert "birch: " in planted["why"]
    assert found["elm"]["passed_over"] == []
    assert len({f["digest"] for f in found.values()}) == 1
    begun = lsn.parse(next(iter(found.values()))["start_lsn"])
    needed = [key for key in chunks(lost) if (layout.chunk_start(key) or 0) > begun]
    gone, altered = needed[0], needed[1]
    lost.vaults()["cedar"].delete(gone)
    lost.alter("elm", altered)
    told, _ = beside("verify", "--vault", "cedar", fails=True)
    assert told["kind"] == "BrokenChain"
    told, _ = beside("verify", "--vault", "elm", fails=True)
    assert "altered" in told["missing"]


def test_what_no_log_has_is_in_no_snapshot(sites: Callable[..., Site], lost: Fleet, tmp_path: Path) -> None:
    """An unlogged table and a temporary one were on the primary's disk: the snapshot has what makes the first empty, and nothing they said."""
    config = load(sites(lost, "reader", standby=True).config(standby=True))
    elm = next(vault for vault in config.vaults if vault.name == "elm")
    [key, *_] = lost.vaults()["elm"].list("label/")
    label = json.loads(lost.vaults()["elm"].get(key) or b"")
    Repository(config.paths.restic, elm, label["repository"]).restore(label["snapshot"], label["path"], tmp_path / "pg")
    files = [path for path in (tmp_path / "pg").rglob("*") if path.is_file()]
    empty = [path for path in files if path.name.endswith("_init")]
    assert len(empty) == 4  # table, index, and what long values go to with its own
    assert not any(path.with_name(path.name.removesuffix("_init")).exists() for path in empty)
    assert not list((tmp_path / "pg/base").glob("*/t*_*"))
    assert not any(UNLOGGED.encode() in path.read_bytes() for path in files)


def keep_versions(fleet: Fleet, name: str) -> Callable[[], set[str]]:
    """Let this vault's bucket keep what is deleted; gives the names of all versions and marks that it keeps."""
    store, spec = fleet.stores[name]
    keys = store.credentials["operator"]
    client = boto3.client(
        "s3",
        endpoint_url=spec.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
    )
    client.put_bucket_versioning(Bucket=spec.bucket, VersioningConfiguration={"Status": "Enabled"})

    def kept() -> set[str]:
        pages = list(client.get_paginator("list_object_versions").paginate(Bucket=spec.bucket))
        return {v["Key"] for page in pages for v in (*page.get("Versions", []), *page.get("DeleteMarkers", []))}

    return kept


def apart(fleet: Fleet) -> str:
    """A picture of which elm has the payload and cedar the header."""
    picture = b"a picture"
    name, vaults = hashlib.sha256(picture).hexdigest(), fleet.vaults()
    give(split(name, seals.encrypt(picture, [fleet.recipient])), vaults["elm"], [vaults["cedar"]])
    return name


SPOILT = (
    "CREATE FUNCTION shown(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n'",
    "CREATE INDEX disagrees ON rows (shown(n))",
    "CREATE OR REPLACE FUNCTION shown(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -n'",
    "CREATE INDEX unread ON rows USING hash (n)",
    "CREATE TABLE unreadable WITH (autovacuum_enabled = off) AS SELECT n FROM rows",
    "CHECKPOINT",
)
"""An index that disagrees with its table, a page that no query reads, and one that every query does."""


def spoil(site: Site) -> None:
    """Damage that goes into the next snapshot: the two pages lose a bit on the disk."""
    with site.connect() as db:
        for statement in SPOILT:
            db.execute(statement)
        paths = db.execute("SELECT pg_relation_filepath(r::regclass) FROM unnest('{unread,unreadable}'::text[]) r")
        files = [site.pg / path for (path,) in paths.fetchall()]
    for path in files:
        with path.open("r+b") as file:
            file.seek(-1, 2)
            (last,) = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last ^ 1]))


def finds_damage(acorn: Site, readers: list[Site]) -> None:
    """What came with the snapshot is found, by whatever can tell: a query, pg_amcheck, pg_checksums."""
    spoil(acorn)
    acorn.wait_confirmed()
    acorn.run("snapshot", config=acorn.ship_config())
    moments = [lsn.show(acorn.wait_everywhere())]
    for statement in ("DROP TABLE unreadable", "DROP INDEX disagrees"):
        with acorn.connect() as db:
            db.execute(statement)
        moments.append(lsn.show(acorn.wait_everywhere()))

    def verify(reader: Site, moment: str) -> str:
        beside = reader.config(standby=True, signing_key_file=None)
        return str(reader.run("verify", "--vault", "elm", "--at", moment, config=beside, fails=True))

    with ThreadPoolExecutor(max_workers=len(readers)) as pool:
        told = list(pool.map(verify, readers, moments))
    assert "invalid page in block" in told[0]
    assert "pg_amcheck finds the copy from elm damaged" in told[1]
    assert "lacks matching index tuple" in told[1]
    assert "pg_checksums finds the copy from elm damaged" in told[2]


def write_much(site: Site) -> None:
    """What begins less than 8 MiB before a snapshot's WAL is never pruned."""
    with site.connect() as db:
        db.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 4 << 20))")
    site.wait_confirmed()


def test_what_lies_before_a_proven_snapshot_may_go(sites: Callable[..., Site], fleet: Fleet, tmp_path: Path) -> None:
    """Pruned by the operator, a vault still gives everything back; ship's credentials could not have done it.

    Where the store keeps versions, none of what went is left.

    What it keeps of pictures under a lock counts with the header that another vault has.

    How the host was set up lies beside the data in every snapshot.
    """
    acorn = sites(fleet, "acorn")
    settings = acorn.folder / "settings"
    settings.mkdir()
    versions = keep_versions(fleet, "elm")
    (settings / "host.conf").write_text("max_connections = 100\n")
    acorn.begin()
    for first in (1, 21, 41):
        acorn.insert(first, first + 19)
        write_much(acorn)
    newest = acorn.run("snapshot", config=acorn.ship_config())["snapshots"]["elm"]
    acorn.insert(61, 80)
    acorn.wait_everywhere()
    before = set(chunks(fleet))
    words = ("--vault", "elm", "--proven", newest)
    assert acorn.run("prune", *words, config=acorn.config("operator"))["removed"] is False
    acorn.run("prune", *words, "--really", config=acorn.config("reader"), fails=True)
    assert before <= set(chunks(fleet))
    gone = acorn.run("prune", *words, "--really", config=acorn.config("operator"))
    assert (gone["snapshots"], gone["chunks"]) == (1, len(before - set(chunks(fleet))))
    assert gone["chunks"] > 0
    assert gone["held_back"] == 0
    wait_until(lambda: versions() == set(fleet.vaults()["elm"].list("")), "nothing to be kept hidden")  # ship goes on
    assert acorn.run("prune", *words, "--really", config=acorn.config("operator"))["chunks"] == 0
    reader = sites(fleet, "reader", standby=True)
    query = {"database": "postgres", "sql": f"SELECT '{apart(fleet)}'", "newer": ""}
    beside = reader.config(standby=True, signing_key_file=None, media_query=query)
    told = reader.run("verify", "--vault", "elm", config=beside, fails=True)
    assert "of 1 it has the payload alone" in told["what"], "elm counts with whole pictures"
    reader = sites(fleet, "another", standby=True)
    beside = reader.config(standby=True, signing_key_file=None, media_query=query)
    config = json.loads(beside.read_text())
    config["vaults"] = [{**vault, "locked": vault["name"] == "elm"} for vault in config["vaults"]]
    beside.write_text(json.dumps(config))
    found = reader.run("verify", "--vault", "elm", config=beside)
    assert (found["rows"], found["pictures"], found["missing"]) == (80, 1, 0)
    config = load(acorn.config("reader"))
    elm = next(vault for vault in config.vaults if vault.name == "elm")
    Repository(config.paths.restic, elm, repository(1)).restore(newest, str(settings), tmp_path / "settings")
    assert (tmp_path / "settings/host.conf").read_text() == "max_connections = 100\n"
    finds_damage(acorn, [sites(fleet, name, standby=True) for name in ("one", "two", "three")])
