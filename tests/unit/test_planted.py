"""What the app's user may put into the outbox: ship, which is root, takes its files alone, goes on past all else, and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience.replication import layout
from resilience.replication.appfolders import LARGEST
from tests.replication.harness import wait_until
from tests.unit.test_appfolders import APP
from tests.unit.test_outbox import KEY, Host

OTHER = "cd" * 32
ALL = ("birch", "cedar", "elm")


class Planted(Host):
    """A host whose outbox is the app's, and the app is a thief's."""

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        for folder in ("outbox", "outbox/media", "outbox/key", "outbox/ledger", "held"):
            (top / folder).mkdir()
        for folder in ("outbox", "outbox/media", "outbox/key", "outbox/ledger"):
            os.chown(top / folder, APP, APP)
        (top / "spool").mkdir(0o700)
        self.outbox, self.secret = top / "outbox", top / "ship.json"
        self.secret.write_text("root's own")
        self.secret.chmod(0o600)
        for name in ALL:
            self.vaults[name].open.set()

    def app(self, *argv: str | Path) -> None:
        """What the app's user does, with no right but its own."""
        subprocess.run(argv, check=True, user=APP, group=APP, extra_groups=[], cwd="/")

    def hand_over_as_app(self, kind: str, name: str) -> None:
        """A file of the app's."""
        self.app("cp", "/etc/hostname", self.outbox / kind / name)

    @property
    def put(self) -> list[list[str]]:
        """What each vault was given."""
        return [sorted(self.vaults[name].objects) for name in ALL]


@pytest.fixture
def host() -> Iterator[Planted]:
    """A host that the app's user can reach."""
    top = Path(tempfile.mkdtemp(prefix="resilience-planted-"))
    top.chmod(0o755)
    made = Planted(top)
    yield made
    for outbox in made.boxes:
        outbox.stop()
    shutil.rmtree(top)


def plant(host: Planted, what: str, path: Path) -> None:
    """Put something that is no file of the app's."""
    if what == "hard link":
        os.link(host.secret, path)  # as where the kernel does not forbid it
    elif what == "device":
        os.mknod(path, 0o020666, os.makedev(1, 5))
        os.chown(path, APP, APP)
    elif what == "huge":
        host.app("truncate", "-s", str(LARGEST + 1), path)
    elif what == "link":
        host.app("ln", "-s", host.secret, path)
    else:
        host.app({"pipe": "mkfifo", "folder": "mkdir"}[what], path)


@pytest.mark.parametrize("what", ["link", "hard link", "pipe", "device", "huge", "folder"])
def test_what_is_no_file_of_the_apps_is_passed_over(host: Planted, what: str) -> None:
    """It is put nowhere, stays where it is and is named; what is handed over after it, of any kind, is put."""
    for kind, name in (("ledger", "00000001.json"), ("key", KEY), ("media", KEY)):
        plant(host, what, host.outbox / kind / name)
    outbox = host.ship(*ALL)
    wait_until(lambda: outbox.error is not None, "a word on what was passed over")
    assert "ledger/00000001.json" in str(outbox.error)
    for kind, name in (("ledger", "00000002.json"), ("key", OTHER), ("media", OTHER)):
        host.hand_over_as_app(kind, name)
    given = sorted({layout.ledger(1, 2), layout.media(OTHER)})
    wait_until(lambda: host.put == [given] * 3, "the others")
    wait_until(lambda: host.told == [f"key/{OTHER}", "ledger/00000002"], "the app's answer")
    wait_until(lambda: [path.name for path in (host.outbox / "media").iterdir()] == [KEY], "the outbox")
    wait_until(lambda: outbox.backlog("birch") == (0, 0), "the queue")
    host.app("rm", "-r", *(host.outbox / kind for kind in ("media", "key", "ledger")))
    wait_until(lambda: outbox.error is None, "nothing to be passed over")


@pytest.mark.parametrize("name", ["entry.json", "1.json", "00000001", "0000000\udcff.json"])
def test_a_name_that_is_no_entrys_ends_no_queue(host: Planted, name: str) -> None:
    """It is passed over and named; an entry after it is put."""
    host.hand_over_as_app("ledger", name)
    host.hand_over_as_app("media", f"{name} ")
    outbox = host.ship(*ALL)
    wait_until(lambda: outbox.error is not None, "a word on what was passed over")
    host.hand_over_as_app("ledger", "00000002.json")
    wait_until(lambda: host.put == [[layout.ledger(1, 2)]] * 3, "the entry")


def test_a_linked_folder_is_neither_shipped_nor_emptied(host: Planted) -> None:
    """Where the app puts a link for one of the outbox's folders, root takes nothing from behind it and removes nothing there."""
    behind = host.folder / "behind"
    behind.mkdir(0o700)
    (behind / KEY).write_text("root's own")
    host.app("rmdir", host.outbox / "media")
    host.app("ln", "-s", behind, host.outbox / "media")
    outbox = host.ship(*ALL)
    host.hand_over_as_app("ledger", "00000001.json")
    wait_until(lambda: host.put == [[layout.ledger(1, 1)]] * 3 and outbox.error is not None, "the entry")
    assert [path.name for path in behind.iterdir()] == [KEY]


@pytest.mark.parametrize("what", ["link", "pipe", "huge"])
def test_what_came_into_a_queue_all_the_same_is_passed_over_there(host: Planted, what: str) -> None:
    """Swapped after it was looked at, or queued by an earlier build: the queue drops it, says so, and goes on."""
    first = host.ship(*ALL)
    first.stop()
    for name in ALL:
        queue = host.folder / "spool/outbox" / name
        queue.chmod(0o777)
        for folder in (host.folder / "spool", queue.parent, queue / "media"):
            folder.chmod(0o777)
        plant(host, what, queue / "media" / KEY)
        (queue / "ledger" / "entry.json").write_text("{}")
    outbox = host.ship(*ALL)
    host.hand_over_as_app("ledger", "00000001.json")
    host.hand_over_as_app("media", OTHER)
    wait_until(lambda: host.put == [[layout.ledger(1, 1), layout.media(OTHER)]] * 3, "the others")
    wait_until(lambda: outbox.backlog("birch") == (0, 0), "the queue")
