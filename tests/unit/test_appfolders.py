"""Folders that the app's user owns: whatever lies there, root writes, owns and reads nothing outside them, and waits for nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import ResilienceError
from resilience.replication import appfolders, fetch_media, layout, seals, sizes

APP = 64962
"""A user that is nobody on this machine, and owns what plaza's user owns on a host."""
IDENTITY = pyrage.x25519.Identity.generate()
PLAIN = b"what the thief wants root to write"
NAME = hashlib.sha256(PLAIN).hexdigest()
OTHER = hashlib.sha256(b"another picture").hexdigest()


class Host:
    """Folders as tmpfiles.conf makes them, and a secret of root's beside them."""

    def __init__(self, top: Path) -> None:
        self.top, self.media, self.outbox, self.spool = top, top / "media", top / "outbox", top / "spool"
        for folder, mode in ((self.media, 0o2750), (self.outbox, 0o2770)):
            folder.mkdir()
            os.chown(folder, APP, APP)
            folder.chmod(mode)
        self.spool.mkdir(0o700)
        self.secret = top / "ship.json"
        self.secret.write_text("root's own")
        self.secret.chmod(0o600)
        self.vault = MemoryVault("birch")
        for plain in (PLAIN, b"another picture"):
            sealed = seals.encrypt(plain, [str(IDENTITY.to_public())])
            self.vault.put_new(layout.media(hashlib.sha256(plain).hexdigest()), sealed)

    def app(self, *argv: str | Path) -> None:
        """What the app's user does, with no right but its own."""
        subprocess.run(argv, check=True, user=APP, group=APP, extra_groups=[], cwd="/")

    def bring(self, *names: str) -> dict[str, Any]:
        """fetch-media, as root."""
        config: Any = SimpleNamespace(
            named=names,
            paths=SimpleNamespace(media=self.media, outbox=self.outbox),
            apart=frozenset[str](),
            vaults=(),
            open=lambda: {"birch": self.vault},
            key=lambda: str(IDENTITY),
        )
        return fetch_media.main(config)

    def root_keeps(self) -> list[object]:
        """What no app may change: mode, owner and content of what is root's."""
        told = [(stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for s in (self.spool.stat(), self.secret.stat())]
        return [*told, self.secret.read_text(), inside(self.spool)]


def inside(folder: Path) -> list[str]:
    """Every name in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def host() -> Iterator[Host]:
    """Folders that the app's user can reach."""
    top = Path(tempfile.mkdtemp(prefix="resilience-appfolders-"))
    top.chmod(0o755)
    yield Host(top)
    shutil.rmtree(top)


def test_a_picture_is_the_apps_and_nothing_else_is(host: Host) -> None:
    """Where nobody planted anything: content, owner and mode, of the picture and of its folder; nothing half-written is left."""
    assert host.bring(NAME)["lost"] == []
    path = fetch_media.place(host.media, NAME)
    found = path.stat()
    assert (path.read_bytes(), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (PLAIN, APP, APP, 0o640)
    assert (path.parent.stat().st_uid, inside(path.parent)) == (APP, [NAME])
    assert inside(host.outbox) == []


def test_a_planted_folder_of_wishes_gives_root_nothing_to_change(host: Host) -> None:
    """A link where the app's wishes are read is neither owned, opened up nor emptied; pictures come all the same."""
    (host.spool / NAME).touch()
    before = host.root_keeps()
    host.app("ln", "-s", host.spool, host.outbox / "wanted")
    assert host.bring(NAME) == {"objects": 1, "fetched": 1, "lost": []}
    assert host.root_keeps() == before


@pytest.mark.parametrize("planted", ["mkfifo", "touch"])
def test_what_is_no_folder_of_wishes_is_not_read(host: Host, planted: str) -> None:
    """A pipe or a file there is not waited for."""
    host.app(planted, host.outbox / "wanted")
    assert host.bring(NAME)["lost"] == []


def test_wishes_left_by_a_killed_run_are_taken_and_a_folder_among_them_is_passed_over(host: Host) -> None:
    """The folder that an earlier run made is used again, and goes with all the app's files in it."""
    host.app("mkdir", "-p", host.outbox / "wanted" / NAME)
    host.app("touch", host.outbox / "wanted" / OTHER)
    assert host.bring(NAME, OTHER)["fetched"] == 2
    assert inside(host.outbox / "wanted") == [NAME]


@pytest.mark.parametrize("hard", [False, True])
def test_a_picture_is_written_through_no_link(host: Host, hard: bool) -> None:  # noqa: FBT001
    """A link under the name of what is half written, or of the picture itself, is replaced and not followed."""
    before = host.root_keeps()
    folder = fetch_media.place(host.media, NAME).parent
    host.app("mkdir", folder)
    for name in (f".{NAME}.new", NAME):
        if hard:
            os.link(host.secret, folder / name)  # as where the kernel does not forbid it
        else:
            host.app("ln", "-s", host.secret, folder / name)
    appfolders.keep(host.media, folder / NAME, PLAIN)
    assert host.root_keeps() == before
    assert (folder / NAME).read_bytes() == PLAIN
    assert not (folder / NAME).is_symlink()


def test_a_picture_behind_a_linked_folder_is_lost_and_the_others_come(host: Host) -> None:
    """Root writes into no folder but the app's own, and goes on; what it removes is none of root's either."""
    host.app("ln", "-s", host.spool, fetch_media.place(host.media, NAME).parent)
    (host.spool / OTHER).touch()
    before = host.root_keeps()
    assert host.bring(NAME, OTHER) == {"objects": 2, "fetched": 1, "lost": [NAME]}
    with pytest.raises(ResilienceError):
        appfolders.remove(host.media, fetch_media.place(host.media, NAME).parent / OTHER)
    assert host.root_keeps() == before


@pytest.mark.parametrize("planted", ["mkfifo", "mkdir"])
def test_what_is_no_picture_is_not_taken_for_one(host: Host, planted: str) -> None:
    """A pipe in a picture's place is replaced; a folder there is told as lost, and the run goes on."""
    path = fetch_media.place(host.media, NAME)
    host.app("mkdir", path.parent)
    host.app(planted, path)
    host.app("mkfifo", path.with_name(f".{NAME}.new"))
    assert host.bring(NAME, OTHER)["lost"] == ([NAME] if planted == "mkdir" else [])
    assert path.is_dir() if planted == "mkdir" else path.read_bytes() == PLAIN


def test_sizes_are_told_whatever_lies_among_pictures(host: Host) -> None:
    """Links that lead in a circle, out of the folder or nowhere count for nothing, and stop nobody."""
    assert host.bring(NAME)["lost"] == []
    folder = fetch_media.place(host.media, NAME).parent
    host.app("ln", "-s", "circle", folder / "circle")
    host.app("ln", "-s", host.secret, folder / "out")
    host.app("ln", "-s", host.top, host.media / "zz")
    assert sizes.pictures(host.media)["media_bytes"] == len(PLAIN)


@pytest.mark.parametrize("name", ["../ship.json", "aa/../../ship.json", "aa/..", "..", "."])
def test_no_name_leads_out_of_the_folder(host: Host, name: str) -> None:
    """Nor does one that is a path of its own: nothing is written, removed or opened there."""
    before = host.root_keeps()
    for path in (host.media / name, host.secret):
        with pytest.raises(ResilienceError, match="can't be used"):
            appfolders.keep(host.media, path, PLAIN)
        with pytest.raises(ResilienceError, match="can't be used"):
            appfolders.remove(host.media, path)
    with pytest.raises(ResilienceError, match="can't be used"), appfolders.opened(host.media, *name.split("/")):
        pass
    assert host.root_keeps() == before
