"""Whoever took the app over rules its database, and nothing else of the host: not by whatever we ask there, at no site."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from resilience.adapters.host_scripts import DATABASE_SIZE
from resilience.adapters.leaving import SAY_STOOD_DOWN
from resilience.replication import fetch_media, layout, seals
from tests.replication import seizure
from tests.replication.harness import Fleet, Site, wait_until


class Trophy:
    """What ran as Postgres' user, by what we asked at the time."""

    def __init__(self, path: Path) -> None:
        self.program = f"cat >> {path}"
        self.by: dict[str, list[str]] = {}
        self._path = path

    def during(self, what: str) -> None:
        """Note what ran since the last time."""
        if self._path.exists():
            self.by[what] = self._path.read_text().splitlines()
            self._path.unlink()


def test_the_apps_role_never_becomes_postgres(sites: Callable[..., Site], fleet: Fleet) -> None:
    """All that is asked at a primary, at its hot standby, of a copy in a vault, and at the new site once it is promoted."""
    acorn = sites(fleet, "acorn")
    seizure.as_on_a_host(acorn)
    acorn.begin()
    trophy = Trophy(acorn.folder / "socket/seized")
    seizure.take_over(acorn, trophy.program)
    trophy.during("nothing of ours")
    trophy.by.clear()
    for vault in fleet.vaults().values():
        vault.put_new(layout.media(seizure.NAME), seals.encrypt(seizure.PICTURE, [fleet.recipient]))
    asks_its_own_primary(acorn, trophy)
    birch = sites(fleet, "birch", standby=True)
    seizure.as_on_a_host(birch)
    follows(birch, trophy)
    acorn.wait_everywhere()
    reader = sites(fleet, "reader", standby=True)
    beside = reader.config(standby=True, signing_key_file=None, media_query=seizure.QUERY)
    copy = reader.run("verify", "--vault", "elm", config=beside)
    assert (copy["pictures"], copy["tables"]["plaza.public.posts"][0]) == (1, 1)
    trophy.during("verify")
    acorn.kill_postgres()
    takes_over(birch, fleet, trophy)
    assert trophy.by == {}


def asks_its_own_primary(acorn: Site, trophy: Trophy) -> None:
    """Sizes, pictures, tables, and the word that it stands down."""
    query = acorn.config(media_query=seizure.QUERY)
    assert acorn.run("named", config=query) == {"named": [seizure.NAME]}
    trophy.during("named")
    told = acorn.run("witness", config=acorn.ship_config())
    assert told["tables"]["plaza.public.posts"][0] == 1
    trophy.during("witness")
    assert acorn.run("fetch-media", config=query)["fetched"] == 1
    trophy.during("fetch-media")
    env = {**os.environ, "PGHOST": str(acorn.folder / "socket")}
    size = subprocess.run(DATABASE_SIZE, shell=True, check=True, capture_output=True, env=env, cwd="/")  # noqa: S602 - as a host does
    assert int(size.stdout) > 1 << 20
    trophy.during("status")
    subprocess.run(SAY_STOOD_DOWN, shell=True, check=True, capture_output=True, env=env, cwd="/")  # noqa: S602 - as a host does
    trophy.during("stand-down")


def follows(birch: Site, trophy: Trophy) -> None:
    """It brings the picture that the replayed rows name."""
    birch.follow(birch.config(standby=True, media_query=seizure.QUERY))
    wait_until(lambda: fetch_media.place(birch.folder / "media", seizure.NAME).exists(), birch.told_by_standby)
    trophy.during("follow")
    for process in birch.processes:
        process.terminate()
        process.wait(120)


def takes_over(birch: Site, fleet: Fleet, trophy: Trophy) -> None:
    """Sequences skip numbers there, and indexes are built anew."""
    birch.take(fleet.seal("birch"))
    birch.run("restore")
    told = birch.run("recover")
    assert told["reindexed"] == ["plaza"]
    assert told["sequences_advanced"] == 2
    trophy.during("recover")
    assert birch.run("fetch-media", "--first", config=birch.config(media_query=seizure.QUERY))["objects"] == 1
    trophy.during("fetch-media at the new site")
