"""What ship waits for and looks at, cycle by cycle: no other vault, and nothing that was handed over before."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from resilience.replication import layout, lsn
from tests.replication.chaos import Writer, proxied
from tests.replication.conftest import buckets
from tests.replication.harness import Fleet, Site, wait_until
from tests.replication.test_ship_faults import chunks
from tests.vault_proxy import Proxy
from tests.vault_servers import Store

COMMITS = 200
BEFORE = 300
"""Pictures and entries that every vault has already."""
NEW = 10
BY_S3 = ("cedar", "elm")
PATIENT = """
from resilience.adapters import s3_direct
s3_direct.TIMEOUTS_S = (2, 86_400)
"""
"""Whoever asks a vault that hangs waits for its answer, however long all else takes."""
LISTS = """
import os, sys
def note(event, arguments):
    if event in ("os.scandir", "os.listdir"):
        [where] = arguments
        path = os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.path.abspath(where or ".")
        with open(os.environ["LISTED"], "a") as file:
            file.write(f"{path}\\n")
sys.addaudithook(note)
"""
"""The process notes each folder that it lists."""
Behind = tuple[Fleet, dict[str, Proxy]]


@pytest.fixture
def behind(stores: dict[str, Store]) -> Iterator[Behind]:
    """Three empty vaults, each behind a proxy, for a fleet whose commits wait for two of them."""
    with proxied(buckets(stores)) as made:
        yield made


def writing(acorn: Site) -> Writer:
    """Somebody who writes there, and waits for two vaults at each commit; every vault has what there is."""
    acorn.create()
    acorn.ship()
    with acorn.connect() as db:
        db.execute("CREATE TABLE rows (n int PRIMARY KEY, filler text)")
    acorn.ask_for_quorum()
    acorn.wait_everywhere()
    return Writer(count(1))


def commits(writer: Writer, acorn: Site) -> None:
    """So many more are acknowledged."""
    before = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) >= before + COMMITS, acorn.told)


def hand_over(acorn: Site, entry: int) -> None:
    """A picture and a ledger entry for every vault."""
    picture = f"picture {entry}".encode()
    (acorn.folder / "outbox/media" / hashlib.sha256(picture).hexdigest()).write_bytes(picture)
    (acorn.folder / f"outbox/ledger/{entry:08d}.json").write_text("{}")


def whole(fleet: Fleet, acorn: Site) -> None:
    """Wait until birch and cedar have all that there is, the very same."""
    end, vaults = acorn.wal_end(), fleet.vaults()

    def given() -> bool:
        both = [acorn.status()["vaults"][name] for name in ("birch", "cedar")]
        return all(lsn.parse(one["lsn"]) >= end and one["backlog_objects"] == 0 for one in both)

    wait_until(given, acorn.told)
    wait_until(lambda: chunks(vaults["birch"]) == chunks(vaults["cedar"]), "what Postgres wrote by itself since")
    assert len(chunks(vaults["birch"])) > COMMITS, "each commit was acknowledged before the next was made"


def test_nothing_waits_for_a_vault_that_hangs(sites: Callable[..., Site], behind: Behind) -> None:
    """One question of each of its three threads is never answered; while these stand, all else goes to the others, and nothing more is asked."""
    fleet, proxies = behind
    fleet.lease_s = 3.0  # where commits wait nobody has a lease: it is how often vaults are looked at alone
    elm, acorn = proxies["elm"], sites(fleet, "acorn")
    acorn.begin_with(PATIENT)
    writer = writing(acorn)
    elm.hang.clear()
    with writer.at(acorn):
        hand_over(acorn, 1)
        wait_until(lambda: {"epoch", "ledger", "wal"} == {one.split("/")[2] for one in elm.held}, acorn.told)
        commits(writer, acorn)
        hand_over(acorn, 2)
        wait_until((acorn.folder / "held/ledger/00000002").exists, acorn.told)
    whole(fleet, acorn)
    wait_until(lambda: acorn.status()["vaults"]["elm"]["backlog_objects"] == 4, acorn.told)
    assert len(elm.held) == 3, elm.held


def test_nothing_waits_for_a_vault_that_refuses(sites: Callable[..., Site], behind: Behind) -> None:
    """It is asked again at its own pace, after longer and longer pauses: far less often than others are given something."""
    fleet, proxies = behind
    elm, acorn = proxies["elm"], sites(fleet, "acorn")
    writer = writing(acorn)
    elm.status = 403
    with writer.at(acorn):
        wait_until(lambda: acorn.status()["vaults"]["elm"]["failures"], acorn.told)
        asked = elm.requests
        commits(writer, acorn)
        assert elm.requests - asked < COMMITS
    whole(fleet, acorn)


def handed_over_before(fleet: Fleet, acorn: Site) -> None:
    """Pictures and entries that all vaults have, the host too, and that the app was told of."""
    names = [hashlib.sha256(f"before {n}".encode()).hexdigest() for n in range(BEFORE)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        for vault in fleet.vaults().values():
            list(pool.map(vault.put_new, map(layout.media, names), [b"sealed"] * BEFORE))
    (acorn.folder / "held/ledger").mkdir()
    for n, name in enumerate(names):
        picture = acorn.folder / "media" / name[:2] / name
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(b"before")
        (acorn.folder / f"ledger/{n + 1:08d}.json").write_text("{}")
        (acorn.folder / f"held/ledger/{n + 1:08d}").touch()


def pictures(standing: Proxy) -> int:
    """Requests that were about a picture."""
    return sum("/media/" in one for one in standing.asked)


def has_nothing_left(acorn: Site) -> bool:
    """Whether every vault has what the app handed over, as ship says."""
    return not any(told["backlog_objects"] for told in acorn.status()["vaults"].values())


def test_a_cycle_looks_at_nothing_that_was_there_before(
    sites: Callable[..., Site], behind: Behind, tmp_path: Path
) -> None:
    """With hundreds of pictures in every vault new ones are put: the host's folders are not listed, nothing is looked for in vaults."""
    fleet, proxies = behind
    acorn = sites(fleet, "acorn")
    handed_over_before(fleet, acorn)
    listed = tmp_path / "listed"
    acorn.begin_with(LISTS)
    acorn.environment["LISTED"] = str(listed)
    writing(acorn)
    for proxy in proxies.values():
        proxy.asked.clear()
    for entry in range(BEFORE + 1, BEFORE + NEW + 1):
        hand_over(acorn, entry)
        wait_until((acorn.folder / f"held/ledger/{entry:08d}").exists, acorn.told)
    wait_until(lambda: all(pictures(proxies[name]) >= NEW for name in BY_S3), acorn.told)
    handed = time.time()
    wait_until(lambda: acorn.status()["at"] > handed and has_nothing_left(acorn), acorn.told)
    asked = [one for proxy in proxies.values() for one in proxy.asked]
    assert [pictures(proxies[name]) for name in BY_S3] == [NEW, NEW]
    read = [one for one in asked if not re.match("PUT|POST", one)]
    assert read
    assert all(re.search(r"/epoch/[0-9]{8}\.json", one) for one in read), read
    folders = {Path(line) for line in listed.read_text().splitlines()}
    assert acorn.folder / "outbox/media" in folders
    unread = [acorn.folder / name for name in ("media", "ledger", "held")]
    assert [folder for folder in folders if any(folder.is_relative_to(one) for one in unread)] == []
