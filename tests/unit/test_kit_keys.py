"""Who can open copies, after adding, removing and rotating; and the kit in shares."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pyrage
import pytest

from resilience.adapters import kit_shares
from resilience.adapters.kit import Kit
from resilience.adapters.kit_keys import KitKeys
from resilience.errors import Refused, ResilienceError, UsageError, VaultError
from resilience.lab import kit as lab_kit
from resilience.replication import seals


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A fresh kit."""
    lab_kit.make(tmp_path / "kit")
    return Kit(tmp_path / "kit")


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
