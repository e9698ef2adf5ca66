"""Keys and settings of an epoch, put on a host that may have been told of a newer one: the real script, in a folder that stands for the host."""

from __future__ import annotations

import getpass
import grp
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from resilience.adapters.host_config import HostConfig
from resilience.adapters.plane import SshPlane
from resilience.adapters.ssh import Result
from resilience.errors import Refused, ResilienceError
from resilience.host.spec import site_host
from resilience.model import EpochRecord
from tests.unit.test_standby_keys import OUTPUTS, epoch_of, sealed_in, signed, told

__all__ = ["told"]
FOLDERS = ("/etc/resilience", "/var/lib/resilience", "/run/resilience", "/opt/resilience")
SUPPLIES = "supplies"


@dataclass
class Host:
    """A host in a folder: whoever else owns files there, here they are ours."""

    root: Path

    def __post_init__(self) -> None:
        for folder in FOLDERS:
            (self.root / folder.lstrip("/")).mkdir(parents=True)
        self.command(
            "/bin/systemctl",
            f"[ $1 != is-active ] || {{ cat {self.root}/ship; exec grep -qx active {self.root}/ship; }}",
        )
        self.command("/opt/resilience/env/bin/python3", "echo '{}'")
        self.ship_is("inactive")

    def command(self, path: str, line: str) -> None:
        """A command that the host has instead of this machine's."""
        self.file(path).write_text(f"#!/bin/sh\n{line}\n")
        self.file(path).chmod(0o755)

    def ship_is(self, state: str) -> None:
        """What systemd says of its ship."""
        self.file("/ship").write_text(f"{state}\n")

    def file(self, path: str) -> Path:
        """A file of the host."""
        found = self.root / path.lstrip("/")
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def tell(self, path: str, epoch: int, nonce: str = "another") -> None:
        """Leave word that it is of this epoch."""
        self.file(path).write_text(json.dumps({"epoch": {"number": epoch, "nonce": nonce}}))

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = 60) -> Result:
        """As a host's shell does."""
        done = subprocess.run(
            ["bash", "-c", self._here(command)],
            env={**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"},
            input=None if stdin is None else self._here(stdin.decode()).encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Its output, where it succeeds."""
        done = self.run(command, stdin=stdin, timeout=timeout)
        assert done.exit == 0, done.err
        return done.out

    def _here(self, text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        for key, mine in (("owner", getpass.getuser()), ("group", grp.getgrgid(os.getgid()).gr_name)):
            for name in ("root", "plaza", "caddy"):
                text = text.replace(f'"{key}": "{name}"', f'"{key}": "{mine}"')
        return text


class Supplies:
    """Nothing has to be fetched."""

    def sources(self, vaults: Sequence[str]) -> Mapping[str, Any]:
        """Whoever has them."""
        return {"digest": SUPPLIES, "files": []}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A standby that is in shape."""
    found = Host(tmp_path / "host")
    shape = hashlib.sha256(f"{site_host().digest} {SUPPLIES}".encode()).hexdigest()
    found.file("/opt/resilience/shape").write_text(f"{shape}\n")
    found.file("/var/lib/resilience/wal/follow.json").write_text("{}")
    return found


@pytest.fixture
def plane(told: HostConfig, host: Host) -> SshPlane:
    """The data plane of one fleet, whose only host it is."""
    seen = replace(told, vaults=dict.fromkeys(told.vaults, sealed_in(signed(told))))
    return SshPlane(lambda _: host, seen, Supplies())  # type: ignore[arg-type]


def shape(plane: SshPlane, epoch: EpochRecord) -> None:
    """Hand it the keys of its epoch."""
    plane.shape(replace(plane.config.fleet.site("acorn"), standby="hot"), OUTPUTS, epoch)


def admit(plane: SshPlane, epoch: EpochRecord) -> None:
    """Hand it credentials for a vault that comes."""
    plane.admit(plane.config.fleet.site("acorn"), OUTPUTS, epoch, ("elm",))


def follow(plane: SshPlane, epoch: EpochRecord) -> None:
    """Have a host at birch follow acorn."""
    plane.follow(replace(plane.config.fleet.site("birch"), standby="hot"), OUTPUTS, epoch)


def contents(host: Host) -> dict[str, str]:
    """All its files."""
    return {str(path): path.read_text() for path in host.root.rglob("*") if path.is_file()}


Put = Callable[[SshPlane, EpochRecord], None]


@pytest.mark.parametrize("put", [shape, admit])
def test_a_host_is_told_of_an_epoch(told: HostConfig, host: Host, plane: SshPlane, put: Put) -> None:
    """Of the first one, and again of the same; also where it was told of an older one."""
    epoch = epoch_of(told, "acorn")
    for _ in range(2):
        put(plane, epoch)
        assert json.loads(host.file("/etc/resilience/ship.json").read_text())["epoch"]["nonce"] == epoch.nonce
    assert host.file("/etc/resilience/ship.json").stat().st_mode & 0o777 == 0o600
    host.tell("/etc/resilience/ship.json", 0)
    put(plane, epoch)
    assert json.loads(host.file("/etc/resilience/ship.json").read_text())["epoch"]["number"] == 1


@pytest.mark.parametrize("file", ["/etc/resilience/ship.json", "/run/resilience/follow.json"])
@pytest.mark.parametrize("put", [shape, admit, follow])
def test_a_host_that_was_told_of_a_newer_epoch_keeps_what_it_has(
    told: HostConfig, host: Host, plane: SshPlane, put: Put, file: str
) -> None:
    """A machine that slept since it looked its epoch up puts nothing, whether the host ships or follows by now."""
    host.tell(file, 4)
    before = contents(host)
    with pytest.raises(Refused, match="keeps the keys it has: it was told of epoch 4, and this plan is of epoch 1"):
        put(plane, epoch_of(told, "acorn"))
    assert contents(host) == before


@pytest.mark.parametrize("file", ["/etc/resilience/ship.json", "/run/resilience/follow.json"])
@pytest.mark.parametrize("put", [shape, admit, follow])
def test_a_host_whose_epoch_no_vault_shows_any_more_is_no_dead_end(
    told: HostConfig, host: Host, plane: SshPlane, put: Put, file: str
) -> None:
    """It can't tell that from another machine's going on: a person can, and is told how to go on."""
    host.tell(file, 4)
    with pytest.raises(Refused) as caught:
        put(plane, epoch_of(told, "acorn"))
    assert "or no vault that answers has that epoch any more" in caught.value.why
    command = next(word for word in caught.value.next.split("`") if word.startswith("rm "))
    host.check(command.replace(str(host.root), ""))
    put(plane, epoch_of(told, "acorn"))


def test_a_host_begins_to_follow(told: HostConfig, host: Host, plane: SshPlane) -> None:
    """What opens copies lies in memory, for root alone; what signs and ships is gone."""
    host.tell("/etc/resilience/ship.json", 1)
    host.file("/etc/resilience/site.key").write_text("a key")
    follow(plane, epoch_of(told, "acorn"))
    kept = host.file("/run/resilience/follow.json")
    assert json.loads(kept.read_text())["identity"] == told.kit.identity()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in host.file("/etc/resilience").iterdir()] == []


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "reloading"])
def test_ship_and_a_standbys_keys_never_share_a_host(told: HostConfig, host: Host, plane: SshPlane, state: str) -> None:
    """Also where ship is about to be started again: nothing is touched."""
    host.ship_is(state)
    host.file("/etc/resilience/site.key").write_text("a key")
    before = contents(host)
    with pytest.raises(ResilienceError, match="birch can't follow") as caught:
        follow(plane, epoch_of(told, "acorn"))
    assert caught.value.why == f"ship is {state} on this host: it never shares a host with a standby's keys"
    assert contents(host) == before


def test_a_move_that_is_prepared_waits_for_no_epoch_and_undoes_none(
    told: HostConfig, host: Host, plane: SshPlane
) -> None:
    """What it left on a host is no newer epoch; once the one that it is for was sealed, it comes too late."""
    host.tell("/etc/resilience/ship.json", 2, nonce="")
    admit(plane, epoch_of(told, "acorn"))
    host.tell("/etc/resilience/ship.json", 2)
    with pytest.raises(Refused, match="told of epoch 2"):
        shape(plane, replace(epoch_of(told, "acorn"), number=2, nonce="", signer=""))


def test_what_a_host_holds_that_is_no_word_of_an_epoch_is_written_over(
    told: HostConfig, host: Host, plane: SshPlane
) -> None:
    """A file that was cut off says of nobody that he went on."""
    host.file("/etc/resilience/ship.json").write_text('{"epoch": {"num')
    shape(plane, epoch_of(told, "acorn"))
    assert json.loads(host.file("/etc/resilience/ship.json").read_text())["epoch"]["number"] == 1
