"""Wire: builds the real World of a fleet; the only file that names an adapter."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resilience import config
from resilience.adapters.account import HttpAccount
from resilience.adapters.clock import SystemClock
from resilience.adapters.journal_file import JournalFile
from resilience.adapters.kit import Kit
from resilience.adapters.plane import SshPlane
from resilience.adapters.plaza import PlazaOnHost, Users
from resilience.adapters.powerdns import PowerDnsZone
from resilience.adapters.pulumi import PulumiCloud
from resilience.adapters.signer import KitSigner
from resilience.adapters.supplies import VaultSupplies
from resilience.lab import Lab
from resilience.model import Fleet
from resilience.ports import Log, World
from resilience.replication.vaults import open_vault


@dataclass(frozen=True)
class Home:
    """Where a fleet lives: its file, its kit of keys, its state and its journal."""

    file: Path

    @property
    def directory(self) -> Path:
        """The fleet file's own directory."""
        return self.file.resolve().parent

    @property
    def journal(self) -> JournalFile:
        """What was ever done to this fleet."""
        return JournalFile(self.directory / "journal.jsonl")

    def load(self) -> Fleet:
        """The fleet as declared."""
        return config.load(self.file)


@contextmanager
def real_world(home: Home, fleet: Fleet, log: Log) -> Iterator[World]:
    """The World of a fleet; in a lab this process first enters the operator's network."""
    lab = Lab(home.directory) if fleet.lab else None
    if lab is not None:
        lab.enter_operator()
    kit = Kit(home.directory / fleet.kit)
    shells = kit.shells()
    vaults = {v.name: open_vault(v, kit.vault(v.name, "operator"), "operator") for v in fleet.vaults}
    users = Users(
        fleet.names.host,
        lab.popen_as_users if lab else subprocess.Popen,
        home.directory / "material" / "texts",
        home.directory / "material" / "pictures",
    )
    world = World(
        clock=SystemClock(),
        accounts={v.name: HttpAccount(v, kit.account(v.name)) for v in fleet.vendors if v.account},
        vaults=vaults,
        clouds={s.name: PulumiCloud(fleet, kit, home.directory / "state") for s in fleet.sites},
        plane=SshPlane(fleet, kit, shells),
        app=PlazaOnHost(shells),
        outside=users,
        zones={z.vendor: PowerDnsZone(z, kit.dns(z.vendor)) for z in fleet.names.zones},
        log=log,
        signer=KitSigner(kit),
        supplies=VaultSupplies(vaults),
    )
    try:
        yield world
    finally:
        users.close()
        shells.close()
