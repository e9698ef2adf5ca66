"""What the operator put into every vault is given to one that lost it."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.put_back import put_back
from resilience.errors import ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.model.certificate import Certificate
from resilience.ports import SealedCertificate, Vault
from resilience.replication import anchors, epoch, layout, proof, seals, states, travelling
from resilience.replication.manifest import Manifest, Part

KEY = Ed25519PrivateKey.generate()


def check(payload: bytes, signature: str) -> bool:
    """Whether the operator signed."""
    return seals.verify(seals.public_hex(KEY), payload, signature)


def record(number: int, nonce: str) -> EpochRecord:
    """An epoch of three vaults."""
    return epoch.make_record(
        number=number,
        site="acorn",
        nonce=nonce,
        parent=number - 1,
        vaults=("birch", "cedar", "elm"),
        k=2,
        s=2,
        sealed_at=0.0,
        signer="",
        sign=seals.signer(KEY),
    )


class Noting(MemoryVault):
    """Notes in which order it was given things."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.given: list[str] = []

    def put_new(self, key: str, data: bytes) -> bool:
        """Create."""
        self.given.append(key)
        return super().put_new(key, data)


class Mute(MemoryVault):
    """Gives one object to nobody, and counts what is asked of it."""

    mute, asked = "", 0

    def get(self, key: str) -> bytes | None:
        """The object."""
        self.asked += 1
        if key == self.mute:
            raise VaultError("It does not answer.", "timed out", "Wait.")
        return super().get(key)


class Silent(MemoryVault):
    """Gives no listing."""

    def list(self, prefix: str) -> list[str]:
        """Nothing is answered."""
        raise ResilienceError("It does not answer.", "timed out", "Wait.")


def of_operator() -> dict[str, bytes]:
    """One object of each kind, in the order of their names."""
    sign, now = seals.signer(KEY), {"number": 2, "nonce": "n"}
    sealed = SealedCertificate(Certificate("app.invalid", "nobody", 9e9, "ab" * 32), b"sealed")
    listed = Manifest((Part("package.deb", hashlib.sha256(b"package").hexdigest(), 7),), 1.0)
    proven = proof.encode("fleet", "birch", 1.0, {"ok": True, "snapshot": "1d"}, sign)
    return {
        layout.anchor(2): seals.canonical(seals.sign_json({"format": anchors.ANCHOR, **now, "entries": 1}, sign)),
        layout.sealed(2): seals.canonical(seals.sign_json({"format": epoch.SEALED, **now}, sign)),
        layout.state("acorn", 1000): states.encode(states.Stack("fleet", "acorn"), 1000, b"a state", sign),
        listed.parts[0].key: b"package",
        listed.key: listed.to_bytes(sign),
        travelling.name(1000): travelling.encode(sealed, 1000, sign),
        layout.verified("birch", 1000): proven,
    }


def holding(*vaults: MemoryVault) -> dict[str, Vault]:
    """These vaults, with two epochs in each and all that the operator put."""
    for vault in vaults:
        for number in (1, 2):
            vault.put_new(layout.epoch(number), epoch.encode(record(number, "n")))
        for key, data in of_operator().items():
            vault.put_new(key, data)
    return {vault.name: vault for vault in vaults}


def test_a_vault_is_given_what_was_in_every_one() -> None:
    """Epochs first, in their order, of two the one that more vaults hold; not what is said of another vault, nor what others put."""
    birch, cedar, elm = MemoryVault("birch"), MemoryVault("cedar"), Noting("elm")
    holding(birch, cedar)
    for vault in (birch, cedar):
        for key in (layout.filled(2), layout.first(2), "label/x", "media/y", "restic/z"):
            vault.put_new(key, key.encode())
    fir = MemoryVault("fir")
    fir.put_new(layout.epoch(2), epoch.encode(record(2, "of a promotion that lost")))
    vaults = {"birch": birch, "cedar": cedar, "elm": elm, "fir": fir, "oak": Silent("oak")}
    assert put_back(vaults, "elm", check) == 9
    assert elm.given == [layout.epoch(1), layout.epoch(2), *sorted(of_operator())]
    assert elm.objects[layout.epoch(2)] == birch.objects[layout.epoch(2)]
    assert put_back(vaults, "elm", check) == 0
    with pytest.raises(ResilienceError, match="does not answer"):
        put_back(vaults, "oak", check)


@pytest.mark.parametrize("key", of_operator())
@pytest.mark.parametrize("how", ["altered", "of another name", "silent"])
def test_an_altered_copy_takes_no_good_ones_place(key: str, how: str) -> None:
    """The first vault's is not what the operator put under that name, or is not given: another one's is put; no bad one where all are."""
    birch, cedar, elm = Mute("birch"), MemoryVault("cedar"), MemoryVault("elm")
    vaults = {**holding(birch, cedar), "elm": elm}
    other = next(data for name, data in of_operator().items() if name != key)
    bad = birch.objects[key].replace(b"a", b"b") if how == "altered" else other
    birch.objects[key], birch.mute = bad, key if how == "silent" else ""
    cedar.objects.pop(key)
    if how == "silent":
        with pytest.raises(ResilienceError, match="can't be put back"):
            put_back(vaults, "elm", check)
    else:
        assert put_back(vaults, "elm", check) == 8
        assert key not in elm.objects
    cedar.objects[key] = of_operator()[key]
    put_back(vaults, "elm", check)
    assert elm.objects == cedar.objects


def test_names_that_nobody_gives_are_not_put_back() -> None:
    """A vault may list anything, without end, and what leads elsewhere."""
    birch, cedar, elm = Mute("birch"), MemoryVault("cedar"), MemoryVault("elm")
    vaults = {**holding(birch, cedar), "elm": elm}
    made_up = ["epoch/x", "state/../../x", "state/acorn/x.json", "supplies/x/tool", "supplies/../x", "tls/x"]
    made_up += [f"tls/0{number:012d}.json" for number in range(99)]
    birch.objects |= dict.fromkeys(made_up, of_operator()[travelling.name(1000)])
    birch.objects[f"supplies/{hashlib.sha256(b'x').hexdigest()}/a/../b"] = b"x"
    birch.asked = 0
    put_back(vaults, "elm", check)
    assert elm.objects == cedar.objects
    assert birch.asked < 99
