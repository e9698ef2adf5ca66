"""What every signer promises, asked of the simulated one and of the kit's real keys alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from resilience.adapters.kit import Kit
from resilience.adapters.signer import KitSigner
from resilience.errors import MissingPart
from resilience.keys import signing_key
from resilience.ports import Signer
from resilience.replication.seals import load_key, public_hex, verify
from resilience.simulation.operator import SimSigner
from resilience.simulation.state import State


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A kit with an operator key."""
    (tmp_path / "operator.key").write_bytes(signing_key())
    return Kit(tmp_path)


@pytest.fixture(params=["simulated", "kit"])
def beneath(request: pytest.FixtureRequest, kit: Kit) -> Callable[[str], Signer]:
    """The port for a rehearsal below this prefix, on the fake and on the real thing."""
    return partial(SimSigner, State()) if request.param == "simulated" else partial(KitSigner, kit)


@pytest.fixture
def signer(beneath: Callable[[str], Signer]) -> Signer:
    """The port, for the fleet itself."""
    return beneath("")


def test_only_what_was_signed_is_accepted(signer: Signer) -> None:
    """A signature holds for its payload and for no other."""
    signature = signer.sign(b"epoch 2")
    assert signer.verify(b"epoch 2", signature)
    assert not signer.verify(b"epoch 3", signature)
    assert not signer.verify(b"epoch 2", signature[:-2] + ("00" if signature[-2:] != "00" else "11"))
    assert not signer.verify(b"epoch 2", "no hex")


def test_what_is_signed_in_a_rehearsal_holds_there_alone(beneath: Callable[[str], Signer], signer: Signer) -> None:
    """It holds neither for the fleet nor in another rehearsal; what the fleet's own signature is on holds in both."""
    one, other = beneath("rehearsal/r1/"), beneath("rehearsal/r2/")
    signature = one.sign(b"epoch 2")
    assert [by.verify(b"epoch 2", signature) for by in (one, other, signer)] == [True, False, False]
    assert [by.verify(b"epoch 2", signer.sign(b"epoch 2")) for by in (one, other, signer)] == [True, True, True]


def test_a_site_has_one_key_an_epoch(signer: Signer) -> None:
    """Asking again gives the same key; another site or epoch has another."""
    key = signer.site_key("birch", 2)
    assert signer.site_key("birch", 2) == key
    assert len({key, signer.site_key("birch", 3), signer.site_key("cedar", 2)}) == 3


@pytest.mark.parametrize("left", ["carried", "made"])
def test_what_an_interrupted_command_left_under_a_number_is_nobodys(signer: Signer, left: str) -> None:
    """Whoever seals the epoch says whether its host goes on with the key and the pass that it has, or gets new ones."""
    older, older_pass = signer.site_key("birch", 2), signer.gate_pass("birch", 2)
    signer.carry_over("birch", 2, 3) if left == "carried" else signer.site_key("birch", 3)
    signer.start_anew("birch", 3)
    assert signer.site_key("birch", 3) != older
    assert signer.gate_pass("birch", 3) != older_pass
    signer.carry_over("birch", 2, 3)
    assert (signer.site_key("birch", 3), signer.gate_pass("birch", 3)) == (older, older_pass)


def test_hosts_check_it_with_the_public_half(kit: Kit) -> None:
    """What the operator signs, the data plane's own check accepts; the site's key file is the one named."""
    signer = KitSigner(kit)
    assert verify(signer.public, b"epoch 2", signer.sign(b"epoch 2"))
    assert public_hex(load_key(kit.site_key("birch", 2))) == signer.site_key("birch", 2)


def test_any_copy_of_the_kit_has_a_sites_keys(kit: Kit, tmp_path: Path) -> None:
    """Also one that was made before the epoch was sealed elsewhere: what a host was given there is what it is given from here."""
    (tmp_path / "copy").mkdir()
    copy = Kit(tmp_path / "copy")
    (copy.directory / "operator.key").write_bytes(kit.operator_key.read_bytes())
    assert KitSigner(copy).site_key("birch", 2) == KitSigner(kit).site_key("birch", 2)
    assert copy.gate_pass("birch", 2) == kit.gate_pass("birch", 2)
    assert kit.gate_pass("birch", 3) != kit.gate_pass("birch", 2)


def test_site_keys_are_for_the_owner_alone(kit: Kit) -> None:
    """A key that is made lies in a folder and a file nobody else may open."""
    KitSigner(kit).site_key("birch", 2)
    path = kit.site_key("birch", 2)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_another_operator_is_not_believed(kit: Kit, tmp_path: Path) -> None:
    """A signature by another kit's key is refused."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "operator.key").write_bytes(signing_key())
    assert not KitSigner(kit).verify(b"epoch 2", KitSigner(Kit(other)).sign(b"epoch 2"))


@pytest.mark.parametrize("content", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_broken_operator_key_is_said(kit: Kit, content: str) -> None:
    """A file that holds no Ed25519 key is named, not a traceback."""
    (kit.directory / "operator.key").write_text(content)
    with pytest.raises(MissingPart, match=r"operator\.key is no Ed25519"):
        KitSigner(kit).sign(b"epoch 2")
