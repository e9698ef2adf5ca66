"""What a hot standby is given, and what it never gets."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from resilience.adapters.host_commands import HostCommands, Told
from resilience.adapters.host_config import HostConfig
from resilience.adapters.host_scripts import STAND_STILL
from resilience.adapters.kit import Kit
from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.plane import SshPlane
from resilience.adapters.shells import Shells
from resilience.adapters.signer import KitSigner
from resilience.config import parse
from resilience.errors import BrokenChain, NoSnapshot, ResilienceError, UsageError
from resilience.lab import fleetfile
from resilience.lab import kit as lab_kit
from resilience.model import EpochRecord, SiteOutputs, VaultSpec
from resilience.ports import ReadBack
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import seals
from resilience.replication.config import Config, MirrorConfig
from tests.unit.test_chunk import LABELLED, OF_STANDBY

OUTPUTS = SiteOutputs("acorn", "acorn", ("198.18.1.100",), ("ssh-ed25519 AAAA",))
MERGED = ("snapshot", "snapshot_vault", "end_lsn", "confirmed_lsn", "timeline", "system_id")
SHIPS = ("ship.json", "site.key", "ledger.key")


@pytest.fixture
def told(tmp_path: Path) -> HostConfig:
    """A fleet's settings and secrets, with a kit as the lab makes it."""
    lab_kit.make(tmp_path / "kit")
    fleet, kit = parse(fleetfile.text()), Kit(tmp_path / "kit")
    return HostConfig(fleet, kit, dict.fromkeys([vault.name for vault in fleet.vaults]), KitSigner(kit), "")  # type: ignore[arg-type]


def sealed_in(epoch: EpochRecord) -> MemoryVault:
    """A vault that shows this epoch, signed."""
    vault = MemoryVault("elm")
    vault.put_new("epoch/00000001.json", epochs.encode(epoch))
    return vault


def epoch_of(told: HostConfig, site: str) -> EpochRecord:
    """The first epoch, of this site."""
    vaults = tuple(vault.name for vault in told.fleet.vaults_for(site))
    return EpochRecord(1, site, "nonce", 0, vaults, 2, 2, 0.0, told.signer.site_key(site, 1), "")


def signed(told: HostConfig) -> EpochRecord:
    """The first epoch, acorn's, as the operator signed it."""
    epoch = epoch_of(told, "acorn")
    return replace(epoch, signature=told.signer.sign(epochs.payload(epoch)))


def snapshot_in(store: MemoryVault, told: HostConfig, snapshot: str, start: str = "0/64", *, there: bool = True) -> str:
    """A label that acorn signed, copied from elm into a mirror, with its snapshot or without; the label's name."""
    facts = {"epoch": 1, "vault": "elm", "snapshot": snapshot, "repository": "restic/00000001"}
    label = replace(LABELLED, **facts, start_lsn=start, stop_lsn="A/0")  # type: ignore[arg-type]
    key = load_pem_private_key(told.kit.site_key("acorn", 1).read_bytes(), None)
    store.put_new(f"elm/{label.key}", labels.encode(label, seals.signer(key)))  # type: ignore[arg-type]
    if there:
        store.put_new(f"elm/restic/00000001/snapshots/{snapshot}", b"sealed")
    return label.key


def test_a_standby_gets_nothing_that_signs_or_puts(told: HostConfig) -> None:
    """Its files hold no key at all; what it is handed into memory reads, and that is all."""
    birch, epoch = told.fleet.site("birch"), epoch_of(told, "acorn")
    paths = [file.path for file in told.keys(birch, epoch)]
    assert not any(path.endswith(SHIPS) for path in paths)
    handed = told.follower(birch, epoch)
    assert "signing_key_file" not in handed
    ships = [told.kit.vault(vault["name"], "ship") for vault in handed["vaults"]]
    for vault, ship in zip(handed["vaults"], ships, strict=True):
        assert vault["credentials"] == told.kit.vault(vault["name"], "reader") != ship
        assert "write_credentials" not in vault
    assert not any(secret in json.dumps(handed) for ship in ships for secret in ship.values())


def test_whoever_opens_entries_knows_who_signs_them(told: HostConfig) -> None:
    """A site that is opened, a standby, and the operator's machine that erases; they have the public half alone."""
    vaults = {name: sealed_in(signed(told)) for name in told.vaults}
    known = replace(told, vaults=vaults)
    birch, epoch = told.fleet.site("birch"), signed(told)
    for config in (known.reader(birch, epoch), known.follower(birch, epoch), known.auditor()):
        assert config["ledger_public_key"] == told.signer.ledger_public
        assert told.kit.ledger_key.read_text() not in json.dumps(config)


def test_a_command_on_the_operators_machine_understands_its_configuration(told: HostConfig, tmp_path: Path) -> None:
    """What a host is told, with places below a folder here: nothing follows or ships there, and that is all it says."""
    epoch = epoch_of(told, "acorn")
    signed = replace(epoch, signature=told.signer.sign(epochs.payload(epoch)))
    config = told.bare(told.fleet.site("birch"), signed)
    with pytest.raises(ResilienceError, match="Neither ship nor follow says anything"):
        HostCommands(Shells(told.kit)).into(tmp_path, "status", config)


def test_a_primary_gets_its_own_keys(told: HostConfig) -> None:
    """The other way round: whoever may write gets all three, and no identity."""
    acorn, epoch = told.fleet.site("acorn"), epoch_of(told, "acorn")
    files = told.keys(acorn, epoch)
    assert all(any(file.path.endswith(name) for file in files) for name in SHIPS)
    assert not any("AGE-SECRET-KEY" in file.content for file in files)


def test_another_machine_gives_a_host_the_key_of_its_epoch(told: HostConfig, tmp_path: Path) -> None:
    """By a copy of the kit from before anything was sealed, also where the key of an earlier epoch was carried over."""
    shutil.copytree(told.kit.directory, tmp_path / "copy")
    first = signed(told)
    told.kit.carry_over("acorn", 1, 2)
    epoch, kit = replace(first, number=2, parent=1), Kit(tmp_path / "copy")
    told = replace(told, vaults={"elm": sealed_in(first)})
    other = replace(told, kit=kit, signer=KitSigner(kit))
    acorn = told.fleet.site("acorn")
    here, there = (next(f for f in by.keys(acorn, epoch) if f.path.endswith("site.key")) for by in (told, other))
    assert here.content == there.content


@pytest.mark.parametrize("carried", [True, False])
def test_a_key_that_was_left_here_is_given_to_no_host_of_an_epoch_that_another_machine_sealed(
    told: HostConfig, tmp_path: Path, *, carried: bool
) -> None:
    """A command stopped here before it sealed anything: what it kept under that number is not what the epoch names."""
    first = signed(told)
    told = replace(told, vaults={"elm": sealed_in(first)})
    shutil.copytree(told.kit.directory, tmp_path / "copy")
    kit = Kit(tmp_path / "copy")
    other = replace(told, kit=kit, signer=KitSigner(kit))
    kit.carry_over("acorn", 1, 2) if carried else kit.start_anew("acorn", 2)
    told.kit.start_anew("acorn", 2) if carried else told.kit.carry_over("acorn", 1, 2)
    epoch = replace(first, number=2, parent=1, signer=told.signer.site_key("acorn", 2))
    acorn = told.fleet.site("acorn")
    for name in ("site.key", "gate.env"):
        here, there = (next(f for f in by.keys(acorn, epoch) if f.path.endswith(name)) for by in (told, other))
        assert here.content == there.content


def test_a_host_is_given_no_key_that_its_epoch_does_not_name(told: HostConfig) -> None:
    """An epoch whose key this kit can't make: said before the host is touched, since ship would not start with another."""
    epoch = replace(epoch_of(told, "acorn"), signer=seals.public_hex(Ed25519PrivateKey.generate()))
    with pytest.raises(ResilienceError, match="does not hold the key by which acorn signs in epoch 1"):
        told.keys(told.fleet.site("acorn"), epoch)


def test_ships_own_file_names_every_vault_of_its_epoch(told: HostConfig) -> None:
    """Also a lost one, which nobody else is told of: ship starts with its whole set, and turns under the next epoch only."""
    acorn, epoch = told.fleet.site("acorn"), epoch_of(told, "acorn")
    left = replace(told, vaults={name: vault for name, vault in told.vaults.items() if name != "elm"})
    assert {vault["name"] for vault in left.ship(acorn, epoch)["vaults"]} == set(epoch.vaults)
    for config in (left.ship(acorn, epoch, restic=True), left.reader(acorn, epoch)):
        assert {vault["name"] for vault in config["vaults"]} == {"birch", "cedar"}


@pytest.mark.parametrize(
    ("days", "apart"), [({"elm": 30}, {"elm"}), ({"elm": 7}, set()), ({"elm": 30, "cedar": 30}, set())]
)
def test_ship_is_told_which_vaults_keep_payloads_alone(
    told: HostConfig, days: Mapping[str, int], apart: set[str]
) -> None:
    """What the fleet file says of locks decides it on the host: beyond erase_after_days, and k others at least."""
    vaults = tuple(replace(spec, lock_days=days.get(spec.name, 0)) for spec in told.fleet.vaults)
    locked = replace(told, fleet=replace(told.fleet, vaults=vaults))
    acorn, epoch = told.fleet.site("acorn"), epoch_of(told, "acorn")
    signed = replace(epoch, signature=told.signer.sign(epochs.payload(epoch)))
    for config in (locked.ship(acorn, signed), locked.reader(acorn, signed)):
        assert Config.model_validate(config).apart == apart


def test_the_app_seals_holds_for_whom_the_kit_names(told: HostConfig) -> None:
    """`hold.pub` in the kit becomes the app's HOLD_RECIPIENT; a private half put there by mistake is refused, not passed on."""
    acorn, epoch = told.fleet.site("acorn"), epoch_of(told, "acorn")
    identity = pyrage.x25519.Identity.generate()

    def settings() -> str:
        [found] = [file.content for file in told.keys(acorn, epoch) if file.path.endswith("app.env")]
        return found

    assert "HOLD_RECIPIENT" not in settings()
    (told.kit.directory / "hold.pub").write_text(f"{identity.to_public()}\n")
    assert f"HOLD_RECIPIENT={identity.to_public()}\n" in settings()
    (told.kit.directory / "hold.pub").write_text(str(identity))
    with pytest.raises(UsageError, match=r"hold\.pub"):
        settings()


def test_a_host_is_told_of_a_mirror_only_where_somebody_may_only_read_there(told: HostConfig) -> None:
    """The vault at the mirror's place, its newest labels, the reader's key; no reader in the kit, no way in for hosts."""
    attic, store = (
        VaultSpec("attic", "dover", "sftp", "sftp://box.test:23", "plaza", copies_only=True),
        MemoryVault("attic"),
    )
    fleet, vaults = replace(told.fleet, vaults=(*told.fleet.vaults, attic)), {"elm": sealed_in(signed(told))}
    mirrored = replace(told, fleet=fleet, mirrors={"attic": store}, vaults=vaults)
    own = {"user": "u1", "private_key": "secret", "host_key": "ssh-ed25519 AAAA"}
    told.kit.keep_vault("attic", {"operator": own})
    good = snapshot_in(store, told, "abc0" * 16)
    assert mirrored.mirrored("reader") == []
    told.kit.keep_vault("attic", {"reader": {**own, "user": "u1-sub1"}})
    [held] = mirrored.mirrored("reader")
    found = MirrorConfig.model_validate(held)
    assert (found.name, list(found.labels)) == ("attic", [good])
    for junk in range(3):  # newer by their names: unsigned, of no epoch, signed with the site's key and of nothing
        store.put_new(f"elm/label/00000001/{junk:X}FFFFFFFFFFFFFFF-abc{junk}.json", b"{}")
        store.put_new(f"elm/label/0000000{junk + 2}/00000000010000FF-abc{junk}.json", store.get(f"elm/{good}") or b"")
        snapshot_in(store, told, f"dead{junk}" * 8, start=f"9/{junk}", there=False)
    [held] = mirrored.mirrored("reader")
    assert list(MirrorConfig.model_validate(held).labels) == [good]
    vault = found.stands_for
    assert (vault.name, vault.within, vault.credentials["user"]) == ("elm", "elm/", "u1-sub1")
    assert vault.restic_password == told.kit.restic_password("elm")
    assert (mirrored.holding("attic"), mirrored.holding("attic", "abc"), mirrored.holding("attic", "b0")) == (
        "elm",
        "elm",
        None,
    )
    assert replace(mirrored, mirrors={}).mirrored("reader") == [], "its vendor is lost: nobody asks it"


def test_a_restore_asks_a_mirror_only_when_no_vault_gives_a_snapshot(told: HostConfig) -> None:
    """The first try names none, so nobody waits for one; the second names them; any other error is no reason to ask."""
    attic, store = (
        VaultSpec("attic", "dover", "sftp", "sftp://box.test:23", "plaza", copies_only=True),
        MemoryVault("attic"),
    )
    snapshot_in(store, told, "abc0" * 16)
    own = {"user": "u1", "private_key": "secret", "host_key": "ssh-ed25519 AAAA"}
    told.kit.keep_vault("attic", {"reader": own})
    fleet, vaults = replace(told.fleet, vaults=(*told.fleet.vaults, attic)), {"elm": sealed_in(signed(told))}
    config = replace(told, fleet=fleet, mirrors={"attic": store}, vaults=vaults)
    site, epoch = told.fleet.site("acorn"), epoch_of(told, "acorn")
    asked: list[list[str]] = []

    class Host(HostCommands):
        def there(self, outputs: object, command: str, told: Told, *args: str, timeout: float = 120) -> dict[str, Any]:
            asked.append([mirror["name"] for mirror in told.get("mirrors", ())])
            if not asked[-1]:
                raise fails
            return {**dict.fromkeys(MERGED, "x"), "chunks": 1, "healed": []}

        def into(self, folder: Path, command: str, told: Told, *args: str) -> dict[str, Any]:
            asked.append([mirror["name"] for mirror in told["mirrors"]])
            return {}

    class Plane(SshPlane):
        @property
        def commands(self) -> HostCommands:
            return Host(self.shells)

    still = type("Still", (), {"check": lambda *_, **__: ""})()
    fails: ResilienceError = NoSnapshot("No vault", "holds one", "Look.")
    plane = Plane(lambda _: still, config, None)  # type: ignore[arg-type]
    assert plane.restore(site, OUTPUTS, epoch).snapshot_vault == "x"
    assert asked == [[], ["attic"]]
    with pytest.raises(NoSnapshot):
        plane.without(frozenset({"attic"})).restore(site, OUTPUTS, epoch)
    fails = BrokenChain("WAL", "0/1", "Look.")
    with pytest.raises(BrokenChain):
        plane.restore(site, OUTPUTS, epoch)
    assert asked[2:] == [[], []]
    told.kit.keep_vault("attic", {"operator": own})
    Plane(lambda _: still, config, None).restore_at(Path("/nowhere"), None)  # type: ignore[arg-type]
    assert asked[4:] == [["attic"]], "here one try is all there is: its folder is not empty afterwards"


def test_a_standbys_snapshot_hands_it_only_what_copies(told: HostConfig) -> None:
    """Each command is told what it understands: the operator makes the repositories here, and signs the labels.

    The host gets no key that signs, reads copies or opens anything else, and the primary could open none of it.
    """
    birch, epoch = told.fleet.site("birch"), epoch_of(told, "acorn")
    signed = replace(epoch, signature=told.signer.sign(epochs.payload(epoch)))
    vaults = {name: sealed_in(signed) for name in signed.vaults}
    fleet = replace(told, vaults=vaults)
    here: list[Config] = []
    there: list[Config] = []

    class Host(HostCommands):
        def here(self, command: str, told: Told, *args: str) -> dict[str, Any]:
            assert (command, args) == ("init-repo", ("--standby",))
            here.append(Config.model_validate_json(json.dumps(told)))
            return {}

        def there(self, outputs: object, command: str, told: Told, *args: str, timeout: float = 120) -> dict[str, Any]:
            assert command == "standby-snapshot"
            there.append(Config.model_validate_json(json.dumps(told)))
            facts = {**asdict(OF_STANDBY), "at": time.time(), "epoch": 1, "repository": "standby/00000001"}
            without, *copied = signed.vaults
            return {"labels": [{**facts, "vault": name} for name in copied], "failed": {without: "restic: locked"}}

    class Plane(SshPlane):
        @property
        def commands(self) -> HostCommands:
            return Host(self.shells)

    plane = Plane(Shells(told.kit), fleet, None)  # type: ignore[arg-type]
    copied = plane.snapshot(birch, OUTPUTS)
    assert copied.taken == dict.fromkeys(signed.vaults[1:], OF_STANDBY.snapshot)
    assert copied.failed == {signed.vaults[0]: "restic: locked"}
    assert [[v.name for v in config.vaults] for config in here] == [[name] for name in signed.vaults]
    [config] = there
    assert (config.identity, config.signing_key_file, config.standby) == (None, None, True)
    for vault in config.vaults:
        assert vault.credentials == told.kit.vault(vault.name, "standby")
        assert (vault.write_credentials, vault.restic_password) == (None, None)
        assert vault.standby_password == told.kit.standby_password(vault.name)
        assert vault.standby_password not in json.dumps(fleet.ship(told.fleet.site("acorn"), signed, restic=True))
    groups = list(labels.find(vaults, {1: signed}, told.signer.verify))
    assert [[label.site for label in group] for group in groups] == [["birch"]], (
        "a label counts in the vault that it names, and all of these are called elm"
    )


def test_a_host_is_told_which_vaults_gave_a_snapshot_back(told: HostConfig, tmp_path: Path) -> None:
    """The words are those that the command understands, without a secret: from the earliest position that was read."""
    epoch = signed(told)
    fleet = replace(told, vaults={name: sealed_in(epoch) for name in epoch.vaults})

    class Host(HostCommands):
        def there(self, outputs: object, command: str, told: Told, *args: str, timeout: float = 120) -> dict[str, Any]:
            assert told["vaults"] == []
            return self.into(tmp_path, command, told, *args)

    class Plane(SshPlane):
        @property
        def commands(self) -> HostCommands:
            return Host(self.shells)

    first, second, *_ = epoch.vaults
    given = {second: ReadBack("0/5000028", 20.0), first: ReadBack("0/4000028", 10.5)}
    plane = Plane(Shells(told.kit), fleet, None)  # type: ignore[arg-type]
    plane.read_back(told.fleet.site("acorn"), OUTPUTS, given)
    kept = json.loads((tmp_path / "spool/notes/read-back.json").read_text())
    assert kept == {"at": 10.5, "nonce": "nonce", "start_lsn": "0/4000028", "vaults": sorted((first, second))}


def test_a_restore_begins_by_removing_the_standbys_keys() -> None:
    """Before anything of its own is put there."""
    assert "rm -f /run/resilience/follow.json" in STAND_STILL
