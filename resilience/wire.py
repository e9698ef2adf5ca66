"""Wire: builds the real World of a fleet; the only file that names an adapter."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resilience import config
from resilience.adapters import kit_first, kit_shares, pulumi_past, pulumi_vault
from resilience.adapters.account import HttpAccount
from resilience.adapters.budget import Budgets, budgets
from resilience.adapters.clock import SystemClock
from resilience.adapters.credentials import NEEDED
from resilience.adapters.gate import HostGate
from resilience.adapters.history_file import HistoryFile
from resilience.adapters.host_config import HostConfig
from resilience.adapters.journal_file import JournalFile
from resilience.adapters.kit import Kit
from resilience.adapters.kit_keys import KitKeys
from resilience.adapters.octodns_zone import OctoDnsZone
from resilience.adapters.plane import SshPlane
from resilience.adapters.plaza import PlazaOnHost, Users
from resilience.adapters.pulumi import Backend, PulumiCloud, has_plugin
from resilience.adapters.rdap import registration
from resilience.adapters.sealed_state import SealedState
from resilience.adapters.server_time import skew_s
from resilience.adapters.shells import Shells
from resilience.adapters.signer import KitSigner
from resilience.adapters.strangers import strangers
from resilience.adapters.supplies import VaultSupplies
from resilience.adapters.threads import side_by_side
from resilience.adapters.unopened import Unopened
from resilience.adapters.vendor_clients import paced
from resilience.decide.rehearsal import SUFFIX, rehearsal_site
from resilience.engine.past import sealed_into
from resilience.engine.preflight import Doors
from resilience.errors import ResilienceError, UsageError
from resilience.host.gate import caddy_rules
from resilience.lab import Lab
from resilience.model import CLOUDS, Fleet, Site, VaultSpec
from resilience.model.rights import PRINCIPALS
from resilience.ports import Cloud, Log, Vault, Workload, World
from resilience.replication import layout
from resilience.replication.vaults import open_vault

__all__ = ["Budgets", "Home", "KitKeys", "budgets", "kit_first", "kit_shares", "real_world"]


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

    def kit(self) -> Path:
        """The folder of the fleet's kit."""
        return self.directory / self.load().kit

    def keys(self) -> KitKeys:
        """Who can open what is put from now on."""
        return KitKeys(Kit(self.kit()))

    def load(self) -> Fleet:
        """The fleet as declared."""
        return config.load(self.file)


@contextmanager
def real_world(home: Home, fleet: Fleet, log: Log, budget: Budgets | None = None) -> Iterator[tuple[World, Workload]]:
    """A fleet's World, and users for a drill; in a lab this process first enters the operator's network.

    With budgets every request to a DNS vendor is counted; nothing that brings the app back has one.
    """
    lab = Lab(home.directory) if fleet.lab else None
    if lab is not None:
        lab.enter_operator()
    kit = Kit(home.directory / fleet.kit)
    shells = Shells(kit)
    vaults = {v.name: _opened(kit, v, "operator") for v in fleet.sealing}
    mirrors = {v.name: _opened(kit, v, "operator") for v in fleet.mirrors}
    signer, app = KitSigner(kit, fleet.beneath), PlazaOnHost(shells, home.directory / "material", fleet.names.host)
    supplies = VaultSupplies(fleet, kit, vaults, signer)
    rules = caddy_rules(app.ready_path, app.sign_up_paths)
    users = Users(
        fleet.names.host,
        lab.popen_as_users if lab else subprocess.Popen,
        home.directory / "material" / "texts",
        home.directory / "material" / "pictures",
        scheme=fleet.names.scheme,
    )
    world = World(
        clock=SystemClock(),
        accounts={v.name: HttpAccount(v.name, v.account, kit.account(v.name)) for v in fleet.vendors if v.account},
        vaults=vaults,
        clouds={s.name: _cloud(home, fleet, kit, s) for s in fleet.sites},
        plane=SshPlane(
            shells, HostConfig(fleet, kit, vaults, signer, rules, app.ready_path, app.media_query, mirrors), supplies
        ),
        app=app,
        gate=HostGate(shells, host=fleet.names.host, recipients=kit.recipients),
        outside=users,
        zones={
            z.vendor: OctoDnsZone(z, kit.dns(z.vendor), budget=budget(z.vendor) if budget else None)
            for z in fleet.names.zones
        },
        log=log,
        signer=signer,
        supplies=supplies,
        mirrors=mirrors,
        registration=(lambda: registration(fleet.names.rdap)) if fleet.names.rdap else None,
        history=HistoryFile(home.directory / "reports" / "history.jsonl").read,
        together=side_by_side,
    )
    try:
        yield world, users
    finally:
        users.close()
        shells.close()


def _opened(kit: Kit, spec: VaultSpec, principal: str) -> Vault:
    """A vault as this principal sees it; where its credentials open nothing, one that does not answer: the others go on."""
    credentials = kit.vault(spec.name, principal)
    try:
        return open_vault(spec, credentials, principal)
    except ResilienceError as error:
        return Unopened(spec.name, error)


def site_cloud(home: Home, fleet: Fleet, site: Site) -> Cloud:
    """The stack of one site, be it in the fleet file or only like one that is."""
    return _cloud(home, fleet, Kit(home.directory / fleet.kit), site)


def make_vault(home: Home, fleet: Fleet, name: str) -> tuple[str, ...]:
    """Make a vault from its stack and keep its principals' credentials in the kit; who they are."""
    kit, spec = Kit(home.directory / fleet.kit), known_vault(fleet, name)
    made = pulumi_vault.make(_pulumi(home, fleet, kit, spec.vendor, spec.stack), spec)
    if made:
        kit.keep_vault(name, made)
    return tuple(made)


def vault_principals(home: Home, fleet: Fleet, name: str) -> dict[str, Vault]:
    """A vault as each of its principals sees it."""
    kit, spec = Kit(home.directory / fleet.kit), known_vault(fleet, name)
    if fleet.lab:
        Lab(home.directory).enter_operator()
    budget = budgets("vault")(spec.vendor)
    opened = {who: open_vault(spec, kit.vault(name, who), who) for who in _principals(fleet, kit, spec)}
    return {who: paced(vault, budget) for who, vault in opened.items()}


def forget_stacks(home: Home, fleet: Fleet, vendor: str, *, undo: bool = False) -> list[str]:
    """Retire the states of everything at a vendor, or take them back; whose they were. Needs nothing of the kit."""
    act = pulumi_past.recall if undo else pulumi_past.forget
    states = PulumiCloud(Backend(home.directory / "state", home.directory / fleet.kit / "passphrase"), "")
    sites = [site for site in fleet.sites if site.vendor == vendor]
    sites += [beside for site in sites if (beside := rehearsal_site(fleet, site.name + SUFFIX))]
    sites += [pulumi_vault.as_site(spec) for spec in fleet.vaults if spec.vendor == vendor and spec.stack]
    return [site.name for site in sites if act(states, site)]


def known_vault(fleet: Fleet, name: str) -> VaultSpec:
    """The vault of this name; UsageError where the fleet file has none."""
    known = [spec.name for spec in fleet.vaults]
    if name not in known:
        raise UsageError(
            f"No vault is called {name}.", "The fleet file does not name it.", f"Declared: {', '.join(known)}."
        )
    return fleet.vault(name)


def _cloud(home: Home, fleet: Fleet, kit: Kit, site: Site) -> Cloud:
    """The site's stack; what it keeps in vaults is encrypted."""
    return SealedState(_pulumi(home, fleet, kit, site.vendor, site.stack, site), kit.recipients, kit.identity)


def _pulumi(home: Home, fleet: Fleet, kit: Kit, vendor: str, stack: str, site: Site | None = None) -> PulumiCloud:
    """The engine for one vendor, its credentials from the kit, its state beside the fleet file."""
    account = fleet.vendor(vendor).account
    return PulumiCloud(
        Backend(home.directory / "state", kit.passphrase_file),
        kit.ssh_public_key,
        account,
        kit.account(vendor) if account else None,
        {address: kit.host_key(address) for address in (site.addresses if site else ())},
        fleet.name,
        fleet.operators,
        lambda: kit.credentials(vendor, stack) if stack in NEEDED else {},
        lambda made, known: (
            strangers(made, fleet.name, kit.credentials(vendor, stack), known) if made.stack in CLOUDS else ()
        ),
    )


def _principals(fleet: Fleet, kit: Kit, spec: VaultSpec) -> tuple[str, ...]:
    """Who there is at a vault: no site's host writes to a mirror, and where nobody may only read none reads it.

    A standby is somebody only where one follows.
    """
    if spec.copies_only:
        return tuple(who for who in ("operator", "reader") if kit.has(spec.name, who))
    hot = any(site.standby == "hot" for site in fleet.sites)
    return tuple(who for who in PRINCIPALS if hot or who != "standby")


def preflight_doors(home: Home, fleet: Fleet, budget: Budgets) -> Doors:
    """What `resilience check` opens: each principal's own way into each vault, and what this machine holds."""
    from resilience.adapters.vendor_preflight import preflight

    kit = Kit(home.directory / fleet.kit)
    lacking = kit_lacks(home, fleet)
    return Doors(
        principals={
            v.name: {who: paced(_opened(kit, v, who), budget(v.vendor)) for who in _principals(fleet, kit, v)}
            for v in fleet.vaults
            if all(kit.has(v.name, who) for who in _principals(fleet, kit, v))
        },
        skew_s=skew_s,
        lacking=lacking,
        vendor=lambda site: preflight(site, kit.credentials(site.vendor, site.stack), budget=budget(site.vendor)),
        plugins={stack: has_plugin(stack) for stack in sorted({s.stack for s in fleet.sites} & CLOUDS)},
    )


def holds_copies(home: Home, spec: VaultSpec) -> str:
    """Why this vault is not a new one, by the journal or by what lies there; empty where neither knows of an epoch."""
    if spec.name in sealed_into(home.journal.read()):
        return "The journal here tells of an epoch that was sealed into it."
    kit = Kit(home.kit())
    if not kit.has(spec.name, "operator"):
        return ""
    found = open_vault(spec, kit.vault(spec.name, "operator"), "operator").list(layout.EPOCH)
    return f"In it lies {found[-1]}." if found else ""


def kit_lacks(home: Home, fleet: Fleet) -> tuple[str, ...]:
    """All that a failover would ask the kit for, and would not find."""
    return tuple(dict.fromkeys(_lacking(Kit(home.directory / fleet.kit), fleet)))


def _lacking(kit: Kit, fleet: Fleet) -> Iterator[str]:
    """Whatever a failover would ask the kit for, and would not find."""
    wanted: list[Callable[[], object]] = [
        lambda: kit.operator_key,
        lambda: kit.ledger_key,
        lambda: kit.passphrase_file,
        lambda: kit.ssh_key,
        kit.identity,
        *(
            lambda v=v, p=p: open_vault(v, kit.vault(v.name, p), p)
            for v in fleet.sealing
            for p in _principals(fleet, kit, v)
        ),
        *(lambda v=v: open_vault(v, kit.vault(v.name, "operator"), "operator") for v in fleet.mirrors),
        *(lambda v=v: kit.restic_password(v.name) for v in fleet.sealing),
        *(lambda z=z: kit.dns(z.vendor) for z in fleet.names.zones),
        *(lambda v=v: kit.account(v.name) for v in fleet.vendors if v.account),
        *(lambda s=s: kit.credentials(s.vendor, s.stack) for s in fleet.sites if s.stack in CLOUDS),
        *(lambda a=a: kit.host_key(a) for s in fleet.sites for a in s.addresses),
    ]
    for ask in wanted:
        try:
            ask()
        except ResilienceError as error:
            yield f"{error.what} {error.why}"
