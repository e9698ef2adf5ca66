"""A chain that ends inside a record which crosses a segment's end: promoted by what came before it, however often it is tried."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise

from resilience.replication import lsn
from resilience.replication.segments import Segments
from tests.replication.harness import Fleet, Site, postgres_bin

SEGMENT = 1 << 20


def crossing(site: Site, since: str, end: str) -> Iterator[tuple[int, int]]:
    """Where a record begins in a segment's last page, and the segment's end, which it goes past."""
    argv = [str(postgres_bin() / "pg_waldump"), "-p", str(site.pg / "pg_wal"), "-t", "1", "-s", since, "-e", end]
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    starts = [lsn.parse(line.split("lsn: ")[1].split(",")[0]) for line in told.splitlines() if "lsn: " in line]
    for start, following in pairwise(starts):
        boundary = lsn.segment_start(following, SEGMENT)
        if boundary - lsn.PAGE < start < boundary < following - 100:
            yield start, boundary


def torn(site: Site) -> dict[str, object]:
    """Cut the restored WAL inside such a record, and say so in the marker; the marker."""
    marker = site.pg / "resilience.json"
    value: dict[str, object] = json.loads(marker.read_text())
    merged = dict(value["merged"])  # type: ignore[call-overload]
    since = (site.pg / "backup_label").read_text().split("START WAL LOCATION: ")[1].split(" ")[0]
    start, boundary = list(crossing(site, since, merged["end_lsn"]))[-1]
    owner = site.pg.stat()
    Segments(site.pg / "pg_wal", SEGMENT, (owner.st_uid, owner.st_gid)).cut(1, boundary + 64)
    merged |= {"end_lsn": lsn.show(boundary + 64), "confirmed_lsn": lsn.show(start)}
    marker.write_text(json.dumps({**value, "merged": merged}))
    return {**value, "merged": merged, "judged": lsn.show(start)}


def test_a_torn_end_is_promoted_once(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Promotion removes the segment that the torn record reached into; killed right after it, the next run goes on from there."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    with acorn.connect() as db:
        db.execute("CREATE TABLE big (t text)")
        db.execute("ALTER TABLE big ALTER t SET STORAGE PLAIN")
        for _ in range(12):
            db.execute("INSERT INTO big SELECT repeat(md5(n::text), 200) FROM generate_series(1, 150) n")
    acorn.insert(1, 20)
    acorn.wait_confirmed()
    acorn.kill_postgres()
    acorn.end()
    birch = sites(fleet, "birch")
    birch.run("restore")
    before = torn(birch)
    recovered = birch.run("recover")
    assert recovered["switch_lsn"] == before["judged"]
    (birch.pg / "resilience.json").write_text(json.dumps(before))  # as if it had been killed before it could say so
    birch.kill_postgres()
    (
        birch.pg / "standby.signal"
    ).touch()  # and another run, which prepared a standby while Postgres was at it, after it
    assert birch.run("recover")["switch_lsn"] == before["judged"]
    birch.kill_postgres()
    birch.start()
    with birch.connect() as db:
        assert db.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
