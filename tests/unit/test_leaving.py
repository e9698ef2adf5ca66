"""An old primary's files are set aside whatever cuts it short: the real script, in a shell, in a folder that stands for the host."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from resilience.adapters import leaving
from resilience.errors import Refused
from resilience.model import EpochRecord
from tests.replication.harness import wait_until

TMPFILES = Path(leaving.__file__).parent.parent / "host/files/tmpfiles.conf"
OLD = ("pg/PG_VERSION", "wal/0001", "spool/chunk", "media/aa/picture", "ledger/1", "outbox/media/2", "created")
NEW = EpochRecord(3, "acorn", "new", 2, ("birch", "elm"), 2, 1, 1.0, "", "")
MADE_AGAIN = ("pg", "wal", "spool", "media", "ledger", "outbox", "held")
DIES_AFTER = """#!/bin/bash
/bin/mv "$@" || exit
echo >> "{moves}"
if [ "$(wc -l < "{moves}")" = "$dies_after" ]; then kill -9 $PPID; fi
"""


@dataclass
class Host:
    """A primary of the epoch `old`, in a folder; it may lose power right after one of the moves."""

    root: Path
    dies_after: int = 0

    def __post_init__(self) -> None:
        for name in OLD:
            self.file(f"var/lib/resilience/{name}").write_text(f"old {name}")
        self.file("etc/resilience/ship.json").write_text('{"epoch": {"nonce": "old", "number": 2}}')
        self.command("systemctl", "#!/bin/sh\n")
        self.command("runuser", "#!/bin/sh\n")
        self.command("systemd-tmpfiles", "#!/bin/sh\ntouch $root/boot\n")
        self.command("mv", DIES_AFTER.format(moves=self.root / "moves"))
        self.boot()

    def file(self, name: str) -> Path:
        """A file of the host, in a folder that is there."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def command(self, name: str, text: str) -> None:
        """A command that the host has instead of this machine's."""
        self.file(f"bin/{name}").write_text(text)
        (self.root / "bin" / name).chmod(0o755)

    def boot(self) -> None:
        """What systemd-tmpfiles makes wherever it is not."""
        for line in TMPFILES.read_text().splitlines():
            if line.startswith("d "):
                (self.root / line.split()[1].lstrip("/")).mkdir(parents=True, exist_ok=True)

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """As a host's shell does."""
        moved = command
        for folder in ("/var/lib/resilience", "/etc/resilience", "/run/resilience"):
            moved = moved.replace(folder, f"{self.root}{folder}")
        path = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "root": str(self.root)}
        env = {**os.environ, **path, "dies_after": str(self.dies_after)}
        said = subprocess.run(["bash", "-c", moved], env=env, capture_output=True, timeout=timeout, check=True).stdout
        if (self.root / "boot").exists():
            self.boot()
        return said.decode()


def test_all_of_the_older_epoch_is_set_aside(tmp_path: Path) -> None:
    """Moved as it is; what the host then has is what a new one has."""
    host = Host(tmp_path)
    assert leaving.set_aside(host, "acorn", NEW) == {"aside": f"{tmp_path}/var/lib/resilience/aside/old"}
    is_as_new(host)
    assert leaving.set_aside(host, "acorn", NEW) == {"aside": ""}


def test_a_host_that_was_just_made_has_nothing_to_set_aside(tmp_path: Path) -> None:
    """Not even the folder in which it would be told of an epoch."""
    host = Host(tmp_path)
    shutil.rmtree(tmp_path / "etc/resilience")
    assert leaving.set_aside(host, "acorn", NEW) == {"aside": ""}


def test_what_a_newer_epoch_made_is_nobody_elses(tmp_path: Path) -> None:
    """A machine that slept since it looked its epoch up moves nothing."""
    host = Host(tmp_path)
    host.file("etc/resilience/ship.json").write_text('{"epoch": {"nonce": "newer", "number": 4}}')
    with pytest.raises(
        Refused, match="acorn is left as it is: it was told of epoch 4, and this plan is of epoch 3"
    ) as told:
        leaving.set_aside(host, "acorn", NEW)
    assert "`rm /etc/resilience/ship.json`" in told.value.next, "it may be in no vault any more"
    assert all((tmp_path / "var/lib/resilience" / name).read_text() == f"old {name}" for name in OLD)


def test_who_is_at_work_there_for_a_machine_that_is_gone_is_ended_first(tmp_path: Path) -> None:
    """Its restore would go on writing where nobody looks any more, and keep the next one waiting."""
    host = Host(tmp_path)
    lock = host.file("run/resilience/database.lock")
    restoring = subprocess.Popen(["bash", "-c", 'flock --no-fork "$0" sleep 1000 & wait -n', lock])
    try:
        wait_until(lambda: subprocess.run(["flock", "-n", lock, "true"], check=False).returncode, "its lock")
        leaving.set_aside(host, "acorn", NEW)
        assert restoring.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        restoring.kill()
    is_as_new(host)


@pytest.mark.parametrize("dies_after", range(1, 10))
def test_a_host_that_lost_power_half_way_is_set_aside_all_the_same(tmp_path: Path, dies_after: int) -> None:
    """Its boot makes the folders anew that were moved: those empty ones are no reason to stop for ever."""
    host = Host(tmp_path, dies_after)
    with pytest.raises(subprocess.CalledProcessError):
        leaving.set_aside(host, "acorn", NEW)
    host.boot()
    host.dies_after = 0
    leaving.set_aside(host, "acorn", NEW)
    is_as_new(host)


def test_what_was_written_after_that_boot_is_kept_too(tmp_path: Path) -> None:
    """Beside what was moved before, and over none of it, however often the host dies."""
    host = Host(tmp_path, dies_after=3)
    for written in ("first", "second"):
        with pytest.raises(subprocess.CalledProcessError):
            leaving.set_aside(host, "acorn", NEW)
        host.boot()
        host.file("var/lib/resilience/wal/0002").write_text(written)
        (tmp_path / "moves").unlink()
        host.dies_after = 1
    host.dies_after = 0
    leaving.set_aside(host, "acorn", NEW)
    is_as_new(host)
    aside = tmp_path / "var/lib/resilience/aside/old"
    assert sorted(file.read_text() for file in aside.glob("wal*/0002")) == ["first", "second"]


def test_it_is_told_whose_database_a_host_has(tmp_path: Path) -> None:
    """By the note of the restore that brought it; one that was made there has none, and a new host has no database."""
    host = Host(tmp_path)
    assert leaving.database(host) == {"there": True, "nonce": "", "told": "old"}
    note = host.file("var/lib/resilience/pg/resilience.json")
    note.write_text('{"nonce": "abc", "state": "promoted"}')
    assert leaving.database(host) == {"there": True, "nonce": "abc", "told": "old"}
    leaving.set_aside(host, "acorn", NEW)
    assert leaving.database(host) == {"there": False, "nonce": "", "told": ""}


def is_as_new(host: Host) -> None:
    """All that was there lies aside, and nothing but empty folders where it lay."""
    home, aside = host.root / "var/lib/resilience", host.root / "var/lib/resilience/aside/old"
    assert {name: (aside / name).read_text() for name in OLD} == {name: f"old {name}" for name in OLD}
    assert [str(file) for what in MADE_AGAIN for file in (home / what).rglob("*") if not file.is_dir()] == []
    assert all((home / what).is_dir() for what in MADE_AGAIN)
    assert not (host.root / "etc/resilience/ship.json").exists()
    assert (aside / "ship.json").exists()


SYSTEMCTL = """#!/bin/sh
case "$*" in
  *postgres*) echo inactive; exit 3;;
  "is-active --quiet resilience-ship") [ -e "$root/ships" ];;
esac
"""
PUTS_ONE = """#!/bin/sh
echo >> $root/slept
rm -f $(find "$root/var/lib/resilience" -path '*outbox*' -type f | head -n 1)
"""


@pytest.mark.parametrize(("ships", "waited"), [(True, 3), (False, 0)])
def test_what_was_handed_over_last_is_waited_for(tmp_path: Path, ships: bool, waited: int) -> None:  # noqa: FBT001
    """Until neither the outbox nor a queue has a picture or a key; not where no ship is there that puts them."""
    host = Host(tmp_path)
    for name in ("outbox/key/1", "spool/outbox/elm/media/3"):
        host.file(f"var/lib/resilience/{name}").write_text("waits")
    host.command("systemctl", SYSTEMCTL)
    host.command("sleep", PUTS_ONE)
    if ships:
        host.file("ships").touch()
    host.check(leaving.STAND_DOWN)
    slept = host.root / "slept"
    assert (slept.read_text().count("\n") if slept.exists() else 0) == waited


def test_ledger_entries_are_not_waited_for(tmp_path: Path) -> None:
    """What is sealed away counts no more: ship puts none of them under an older epoch."""
    host = Host(tmp_path)
    (host.root / "var/lib/resilience/outbox/media/2").unlink()
    host.file("var/lib/resilience/spool/outbox/elm/ledger/00000001.json").write_text("waits")
    host.command("systemctl", SYSTEMCTL)
    host.command("sleep", PUTS_ONE)
    host.file("ships").touch()
    host.check(leaving.STAND_DOWN)
    assert not (host.root / "slept").exists()
