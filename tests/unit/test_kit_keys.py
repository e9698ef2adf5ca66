"""Who can open copies, after adding, removing and rotating; and the kit in shares."""

from __future__ import annotations

import io
import json
import tarfile
from itertools import combinations
from pathlib import Path

import pyrage
import pytest
import shamir_mnemonic

from resilience import config
from resilience.adapters import kit_first, kit_shares
from resilience.adapters.credentials import NEEDED
from resilience.adapters.kit import Kit
from resilience.adapters.kit_keys import KitKeys
from resilience.adapters.unopened import Unopened
from resilience.errors import MissingPart, Refused, ResilienceError, UsageError, VaultError, VaultSilent
from resilience.lab import kit as lab_kit
from resilience.model import Event, Fleet
from resilience.model.rights import PRINCIPALS
from resilience.replication import seals
from resilience.wire import Home, holds_copies, kit_lacks, real_world
from tests.plain_host import key_pair

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.toml"))


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A fresh kit."""
    lab_kit.make(tmp_path / "kit")
    return Kit(tmp_path / "kit")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opens(kit: Kit, name: str, data: bytes) -> bool:
    """Whether this one's identity opens it."""
    try:
        return seals.decrypt(data, kit.identity(name)) == b"secret"
    except VaultError:
        return False


def test_three_recipients_of_their_own(kit: Kit) -> None:
    """Standby, operator and escrow each open what was put; nobody else does."""
    KitKeys(kit).add("escrow")
    assert set(KitKeys(kit).names()) == {"standby", "operator", "escrow"}
    data = seals.encrypt(b"secret", kit.recipients)
    assert [opens(kit, name, data) for name in ("standby", "operator", "escrow")] == [True, True, True]
    assert len({kit.identity(name) for name in ("standby", "operator", "escrow")}) == 3
    with pytest.raises(VaultError):
        seals.decrypt(data, str(pyrage.x25519.Identity.generate()))


def test_the_removed_one_opens_what_was_put_before_and_nothing_new(kit: Kit) -> None:
    """That is what the command says, plainly."""
    keys = KitKeys(kit)
    keys.add("escrow")
    before = seals.encrypt(b"secret", kit.recipients)
    keys.remove("escrow")
    after = seals.encrypt(b"secret", kit.recipients)
    assert opens(kit, "escrow", before)
    assert not opens(kit, "escrow", after)
    assert opens(kit, "standby", after)


def test_a_rotated_one_opens_both(kit: Kit) -> None:
    """The kit keeps the old identity for older copies; somebody who has only the old one opens nothing new."""
    before = seals.encrypt(b"secret", kit.recipients)
    stolen = kit.identity()
    KitKeys(kit).rotate("standby")
    after = seals.encrypt(b"secret", kit.recipients)
    assert opens(kit, "standby", before)
    assert opens(kit, "standby", after)
    with pytest.raises(VaultError):
        seals.decrypt(after, stolen)


def test_somebody_elses_recipient_needs_no_secret_here(kit: Kit) -> None:
    """An escrow agent gives only the public half."""
    agent = pyrage.x25519.Identity.generate()
    KitKeys(kit).add("agent", str(agent.to_public()))
    assert seals.decrypt(seals.encrypt(b"secret", kit.recipients), str(agent)) == b"secret"
    assert not (kit.directory / "age/agent.txt").exists()


def test_what_is_refused(kit: Kit) -> None:
    """The last one that this kit could open with, a strange recipient, a name twice, a name that is a path."""
    keys = KitKeys(kit)
    keys.remove("operator")
    with pytest.raises(Refused, match="Without standby"):
        keys.remove("standby")
    for name, recipient in (("x", "AGE-SECRET-KEY-1"), ("standby", None), ("../x", None), ("recipients", None)):
        with pytest.raises(UsageError):
            keys.add(name, recipient)
    for act in (keys.remove, keys.rotate):
        with pytest.raises(UsageError):
            act("nobody")


def test_any_three_of_five_and_no_two(kit: Kit, tmp_path: Path) -> None:
    """On an empty machine three shares bring the whole kit back, byte for byte; two bring nothing."""
    shares = [path.read_text() for path in kit_shares.split(kit.directory, tmp_path / "out", 5, 3)]
    sealed = tmp_path / "out" / kit_shares.SEALED
    for number, three in enumerate(list(combinations(shares, 3))[:2]):
        again = tmp_path / f"again{number}"
        kit_shares.combine(sealed, three, again)
        files = {p.relative_to(kit.directory) for p in kit.directory.rglob("*") if p.is_file()}
        assert {p.relative_to(again) for p in again.rglob("*") if p.is_file()} == files
        assert all((again / f).read_bytes() == (kit.directory / f).read_bytes() for f in files)
        assert all((again / f).stat().st_mode & 0o077 == 0 for f in files)
    with pytest.raises(UsageError):
        kit_shares.combine(sealed, shares[:2], tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_a_kit_that_an_earlier_build_sealed_opens(kit: Kit, tmp_path: Path) -> None:
    """Then it was sealed to a passphrase of the same 256 bits."""
    shares = [path.read_text() for path in kit_shares.split(kit.directory, tmp_path / "out", 3, 2)]
    secret = shamir_mnemonic.combine_mnemonics([share.strip() for share in shares[:2]])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(kit.directory / "operator.key", arcname="operator.key")
    sealed = tmp_path / "kit.age"
    sealed.write_bytes(pyrage.passphrase.encrypt(packed.getvalue(), secret.hex()))
    assert kit_shares.combine(sealed, shares[1:], tmp_path / "again") == 1
    assert (tmp_path / "again/operator.key").read_bytes() == (kit.directory / "operator.key").read_bytes()


def test_shares_of_another_kit_or_an_altered_file(kit: Kit, tmp_path: Path) -> None:
    """Neither opens anything, and a folder with something in it is left alone."""
    first = [path.read_text() for path in kit_shares.split(kit.directory, tmp_path / "one", 3, 2)]
    second = [path.read_text() for path in kit_shares.split(kit.directory, tmp_path / "two", 3, 2)]
    sealed = tmp_path / "one" / kit_shares.SEALED
    for shares in ([first[0], second[1]], second[:2], ["nonsense words"]):
        with pytest.raises(ResilienceError):
            kit_shares.combine(sealed, shares, tmp_path / "out")
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(bytes(data))
    with pytest.raises(VaultError, match="does not open"):
        kit_shares.combine(sealed, first[:2], tmp_path / "out")
    with pytest.raises(Refused):
        kit_shares.combine(sealed, first[:2], kit.directory)
    with pytest.raises(UsageError):
        kit_shares.split(kit.directory, tmp_path / "three", 3, 1)


def whoever(folder: Path) -> dict[str, str]:
    """Credentials with which a vault of any kind can be opened."""
    public = key_pair(folder / "box")
    named = dict.fromkeys(("token", "access_key_id", "secret_access_key", "user"), "x")
    return {**named, "private_key": (folder / "box").read_text(), "host_key": public}


def fill(kit: Path, fleet: Fleet, theirs: dict[str, str]) -> None:
    """What a person puts into a first kit, file by file as it was listed."""
    for name, what in kit_first.by_hand(fleet):
        path = kit / name
        path.parent.mkdir(exist_ok=True)
        variables = [word for stack in NEEDED.values() for word in stack if word in what]
        whom = {principal: theirs for principal in PRINCIPALS if principal in what}
        path.write_text(json.dumps(whom) if name.startswith("vaults/") else "\n".join(f"{v}=x" for v in variables))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_first_kit_and_what_it_lists_is_a_whole_kit(tmp_path: Path, example: Path) -> None:
    """Whatever a failover asks the kit for is made, or is listed for a person, or `vault up` makes it; its owner alone reads it."""
    home = Home(tmp_path / "fleet.toml")
    home.file.write_bytes(example.read_bytes())
    fleet = config.load(home.file)
    kit = tmp_path / "kit"
    kit_first.make(kit, fleet)
    assert {oct(path.stat().st_mode & 0o777) for path in kit.rglob("*") if path.is_file()} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (kit, *kit.rglob("*")) if path.is_dir()} == {"0o700"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.toml", "kit"]
    listed = [name for name, _ in kit_first.by_hand(fleet) if not name.startswith("acme/")]
    listed += [f"vaults/{vault.name}.json" for vault in fleet.vaults if vault.stack in kit_first.MAKES_PRINCIPALS]
    assert all(any(name in lack for name in listed) for lack in kit_lacks(home, fleet))
    theirs = whoever(tmp_path)
    fill(kit, fleet, theirs)
    for vault in (vault for vault in fleet.vaults if vault.stack in kit_first.MAKES_PRINCIPALS):
        Kit(kit).keep_vault(vault.name, dict.fromkeys(PRINCIPALS, theirs))
    assert kit_lacks(home, fleet) == ()


def hobby(folder: Path) -> tuple[Home, Fleet]:
    """The smallest example, with a kit that lacks nothing."""
    home = Home(folder / "fleet.toml")
    home.file.write_bytes((EXAMPLES[0].parent / "hobby.toml").read_bytes())
    fleet = config.load(home.file)
    kit_first.make(home.kit(), fleet)
    fill(home.kit(), fleet, whoever(folder))
    return home, fleet


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "no JSON"), ("[]", "no object"), (b"\xff{}", "no JSON")],
)
def test_credentials_that_are_none_are_named(tmp_path: Path, text: str | bytes, why: str) -> None:
    """The file, what is wrong with it and where a right one is shown; `check` lists it with all else."""
    home, fleet = hobby(tmp_path)
    path = home.kit() / "vaults/amazon.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with (
        pytest.raises(MissingPart, match=r"vaults/amazon\.json") as said,
        real_world(home, fleet, home.journal),
    ):
        pass
    assert why in said.value.why
    assert "docs/vendors" in said.value.next
    (told,) = kit_lacks(home, fleet)
    assert str(path) in told
    assert why in told


def test_a_vault_that_its_credentials_do_not_open_is_one_that_does_not_answer(tmp_path: Path) -> None:
    """The others are opened; whoever asks this one is told why, and never that it refused."""
    home, fleet = hobby(tmp_path)
    path = home.kit() / "vaults/amazon.json"
    path.write_text(path.read_text().replace("secret_access_key", "secret_key"))
    with real_world(home, fleet, home.journal) as (world, _):
        for ask in (world.vaults["amazon"].list, world.vaults["amazon"].get):
            with pytest.raises(VaultSilent, match=r"amazon cannot be opened as operator.*secret_access_key"):
                ask("epoch/")
        assert not isinstance(world.vaults["google"], Unopened)
    assert all("amazon cannot be opened" in told for told in kit_lacks(home, fleet))
    assert len(kit_lacks(home, fleet)) == len(PRINCIPALS) - 1, "nothing follows there, so nobody is its standby"


def test_a_first_kit_is_written_once_and_whole(tmp_path: Path) -> None:
    """Where anything is, nothing is written over; where the escrow file can't be made, no kit is left behind."""
    fleet, kit = config.load(EXAMPLES[0]), tmp_path / "kit"
    for place in (tmp_path / "nowhere/escrow.txt", kit / "escrow.txt", tmp_path):
        with pytest.raises(UsageError, match=r"is in the kit|can't be made"):
            kit_first.make(kit, fleet, place)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "elsewhere").mkdir()
    kit.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="can't be written"):
        kit_first.make(kit, fleet, tmp_path / "escrow.txt")
    assert files(tmp_path) == {}
    kit.unlink()
    kit_first.make(kit, fleet, tmp_path / "escrow.txt")
    before = files(tmp_path)
    with pytest.raises(Refused, match="There is a kit"):
        kit_first.make(kit, fleet, tmp_path / "other.txt")
    assert files(tmp_path) == before
    assert (tmp_path / "escrow.txt").stat().st_mode & 0o777 == 0o600


def test_the_escrow_identity_opens_copies_and_is_in_no_kit(tmp_path: Path) -> None:
    """Only its public half is in the kit; two kits share no key."""
    fleet = config.load(EXAMPLES[0])
    for name in ("one", "two"):
        kit_first.make(tmp_path / name / "kit", fleet, tmp_path / f"{name}.txt")
    one, two = Kit(tmp_path / "one/kit"), Kit(tmp_path / "two/kit")
    identity = (tmp_path / "one.txt").read_text().splitlines()[-1]
    assert seals.decrypt(seals.encrypt(b"secret", one.recipients), identity) == b"secret"
    assert not any(identity.encode() in data for data in files(one.directory).values())
    shared = {data for data in files(one.directory).values() if data in files(two.directory).values()}
    assert shared == {b"*\n"}


def test_a_vault_that_was_added_gets_a_password_and_nothing_else_changes(tmp_path: Path) -> None:
    """The other vaults' passwords stay; a folder without the operator's key is no kit to add to."""
    fleet, kit = config.load(EXAMPLES[0]), tmp_path / "kit"
    home = Home(tmp_path / "fleet.toml")
    home.file.write_bytes(EXAMPLES[0].read_bytes())

    def add() -> list[str]:
        return kit_first.add_vaults(kit, fleet, lambda vault: holds_copies(home, vault))

    with pytest.raises(UsageError, match="is no kit"):
        add()
    kit_first.make(kit, fleet)
    before = files(kit)
    new = fleet.sealing[0].name
    (kit / "restic" / f"{new}.txt").unlink()
    assert add() == [new]
    assert add() == []
    after = files(kit)
    assert {name for name in after if after[name] != before[name]} == {f"restic/{new}.txt"}
    assert set(after) == set(before)


def test_an_old_vault_s_lost_password_is_not_made_anew(tmp_path: Path) -> None:
    """The journal tells of an epoch in it: refused, what to do is said, and no other vault gets one either."""
    home = Home(tmp_path / "fleet.toml")
    home.file.write_bytes(EXAMPLES[0].read_bytes())
    fleet, kit = home.load(), home.kit()
    kit_first.make(kit, fleet)
    old, new = fleet.sealing[0].name, fleet.sealing[1].name
    facts = {"epoch": 1, "vaults": [old], "nonce": "n"}
    home.journal.append(Event(1.0, "step-done", {"id": "seal", "action": "seal", "facts": facts}))
    for name in (new, old):
        (kit / "restic" / f"{name}.txt").unlink()
    with pytest.raises(Refused, match=f"{old} is not new") as caught:
        kit_first.add_vaults(kit, fleet, lambda vault: holds_copies(home, vault))
    assert "kit combine" in caught.value.next
    assert not any((kit / "restic" / f"{name}.txt").exists() for name in (new, old))
