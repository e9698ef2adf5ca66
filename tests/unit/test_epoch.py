"""Epochs: who may write, sealed by quorums."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import Refused, TooFewVaults, UsageError, VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, seals
from resilience.replication import epoch as epochs
from resilience.replication.forward import Forward
from resilience.replication.quorum import check_quorums

OPERATOR = Ed25519PrivateKey.generate()
CHECK = seals.verifier(seals.public_hex(OPERATOR))
SET = ("birch", "cedar", "elm")


class Dead(MemoryVault):
    """A vault that answers nobody."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Nobody is served."""
        raise VaultError(f"{self.name} could not put {key}", f"{len(data)} bytes met a dead vault", "Bring it back.")

    def get(self, key: str) -> bytes | None:
        """Nobody is served."""
        raise VaultError(f"{self.name} could not get {key}", "dead", "Bring it back.")

    def list(self, prefix: str) -> list[str]:
        """Nobody is served."""
        raise VaultError(f"{self.name} could not list {prefix}", "dead", "Bring it back.")


def record(number: int = 1, site: str = "acorn", nonce: str = "n", vaults: tuple[str, ...] = SET) -> EpochRecord:
    """A signed epoch."""
    return epochs.make_record(
        number=number,
        site=site,
        nonce=nonce,
        parent=number - 1,
        vaults=vaults,
        k=2,
        s=2,
        sealed_at=1.0,
        signer="00" * 32,
        sign=seals.signer(OPERATOR),
    )


@pytest.fixture
def vaults() -> dict[str, MemoryVault]:
    """Three empty vaults."""
    return {name: MemoryVault(name) for name in SET}


@given(st.integers(1, 7), st.integers(0, 8), st.integers(0, 8))
def test_only_quorums_that_intersect(n: int, k: int, s: int) -> None:
    """A set is taken if and only if any s meet any k, and any two s meet."""
    good = 1 <= k <= n and 1 <= s <= n and k + s > n and 2 * s > n
    if good:
        check_quorums(n, k, s)
    else:
        with pytest.raises(UsageError):
            check_quorums(n, k, s)


def test_sealed_is_found(vaults: dict[str, MemoryVault]) -> None:
    """A sealed epoch is in every vault, read back equal, and the newest."""
    assert epochs.newest_of(vaults, CHECK) is None
    first = record()
    assert set(epochs.seal_record(vaults, first, [], CHECK)) == set(SET)
    assert epochs.newest_of(vaults, CHECK) == first
    second = record(2, "birch", "m")
    epochs.seal_record(vaults, second, [epochs.Older(first, 2)], CHECK)
    assert epochs.newest_of(vaults, CHECK) == second


def test_sealing_again_is_no_harm(vaults: dict[str, MemoryVault]) -> None:
    """The same record, our nonce, counts as sealed however often it is put."""
    epochs.seal_record(vaults, record(), [], CHECK)
    assert len(epochs.seal_record(vaults, record(), [], CHECK)) == 3


def test_one_dead_vault_does_not_stop_a_seal(vaults: dict[str, MemoryVault]) -> None:
    """Two of three are enough."""
    vaults["elm"] = Dead("elm")
    assert epochs.seal_record(vaults, record(), [], CHECK) == ("birch", "cedar")


def test_two_dead_vaults_do(vaults: dict[str, MemoryVault]) -> None:
    """One of three is not, and the error says which are silent and why."""
    vaults |= {"elm": Dead("elm"), "cedar": Dead("cedar")}
    with pytest.raises(TooFewVaults, match="sealed in 1 of the 2") as caught:
        epochs.seal_record(vaults, record(), [], CHECK)
    assert "dead vault" in caught.value.why


def test_the_second_of_two_promoters_loses(vaults: dict[str, MemoryVault]) -> None:
    """Another nonce under the same number is somebody else's epoch."""
    epochs.seal_record(vaults, record(nonce="ours"), [], CHECK)
    with pytest.raises(Refused, match="somebody else"):
        epochs.seal_record(vaults, record(nonce="theirs"), [], CHECK)


def test_a_lost_race_in_one_vault_is_no_loss(vaults: dict[str, MemoryVault]) -> None:
    """What another put into one vault does not keep us from s of the others."""
    vaults["birch"].put_new(layout.epoch(1), epochs.encode(record(nonce="theirs")))
    assert epochs.seal_record(vaults, record(nonce="ours"), [], CHECK) == ("cedar", "elm")


@pytest.mark.parametrize("nonce", ["a", "z"])
def test_of_two_rivals_the_one_that_was_opened_counts(nonce: str, vaults: dict[str, MemoryVault]) -> None:
    """A change of the vault set lies in as many vaults, or more, and never was sealed: who was promoted comes first."""
    everyone = {**vaults, "dover": MemoryVault("dover")}
    first, key = record(), Ed25519PrivateKey.generate()
    epochs.seal_record(vaults, first, [], CHECK)
    change = record(2, "acorn", nonce, ("cedar", "elm", "dover"))
    for name in ("elm", "dover"):
        epochs.seal_one(everyone[name], change, [epochs.Older(first, 2)], CHECK)
    bare = replace(record(2, "birch", "m"), signer=seals.public_hex(key), signature="")
    promoted = replace(bare, signature=seals.signer(OPERATOR)(epochs.payload(bare)))
    assert epochs.seal_record(vaults, promoted, [epochs.Older(first, 2)], CHECK) == ("birch", "cedar")
    opening = chunk.encode_opening(chunk.Opening(2, "m", 1, 5, 5, 1, "1", 0.0), seals.signer(key))
    for name in SET[1:]:
        everyone[name].put_new(layout.opening(2), opening)
    told = SimpleNamespace(number=1, record=lambda: first)
    for dead in (None, "birch", "cedar"):
        answer = {name: Dead(name) if name == dead else vault for name, vault in everyone.items()}
        assert epochs.numbered(answer, 2, CHECK) == [promoted, change]
        assert epochs.newest_of(answer, CHECK) == promoted
        assert [old.record for old in epochs.to_fence(answer, 2, CHECK)] == [promoted, change]
        forward = Forward(SimpleNamespace(parent_epochs=(), epoch=told, record=first, verify=CHECK), answer)  # type: ignore[arg-type]
        forward.look()
        assert forward.newest == promoted


def test_both_sets_are_asked(vaults: dict[str, MemoryVault]) -> None:
    """A new set is sealed by its own quorum and by the old one's."""
    old = record()
    epochs.seal_record(vaults, old, [], CHECK)
    more = {**vaults, "dover": MemoryVault("dover"), "acorn": MemoryVault("acorn")}
    new = record(2, "birch", "m", ("cedar", "dover", "acorn"))
    sealed = epochs.seal_record({**more, "birch": Dead("birch")}, new, [epochs.Older(old, 2)], CHECK)
    assert set(sealed) == {"cedar", "elm", "dover", "acorn"}
    third = record(3, "cedar", "o", ("acorn", "dover", "elm"))
    with pytest.raises(TooFewVaults, match="epoch 2's set needs"):
        epochs.seal_record(
            {**more, "dover": Dead("dover"), "cedar": Dead("cedar")}, third, [epochs.Older(new, 2)], CHECK
        )


def test_no_vault_skips_an_epoch(vaults: dict[str, MemoryVault]) -> None:
    """Ships look one number ahead: a vault that lacks the epoch before is given it first."""
    first, second, third = record(), record(2, "birch", "m"), record(3, "cedar", "o")
    epochs.seal_record(vaults, first, [], CHECK)
    vaults["birch"].put_new(layout.epoch(2), epochs.encode(second))
    epochs.seal_record(vaults, third, [epochs.Older(second, 2)], CHECK)
    assert all(vault.exists(layout.epoch(2)) for vault in vaults.values())


def test_what_the_operator_did_not_sign_is_an_error(vaults: dict[str, MemoryVault]) -> None:
    """A forged epoch stops whoever reads it, and is never taken for an absent one."""
    forged = replace(record(), site="mallory")
    vaults["elm"].put_new(layout.epoch(1), epochs.encode(forged))
    with pytest.raises(VaultError, match="did not sign"):
        epochs.read(vaults["elm"], 1, CHECK)
    with pytest.raises(UsageError, match="signature"):
        epochs.seal_record(vaults, forged, [], CHECK)


def test_no_vault_answers() -> None:
    """Nobody knows the newest epoch: that is an error, not "there is none"."""
    with pytest.raises(TooFewVaults, match="dead"):
        epochs.newest_of({"elm": Dead("elm")}, CHECK)


@pytest.mark.parametrize("rubbish", [b"", b"null", b"[]", b"{}", b'{"signature": 1}', b'"x"', b"\xff"])
def test_rubbish_is_no_record(rubbish: bytes, vaults: dict[str, MemoryVault]) -> None:
    """Whatever lies under epoch/, decoding it never raises anything but our own error."""
    assert epochs.decode(rubbish, CHECK) is None
    vaults["elm"].put_new(layout.epoch(1), rubbish)
    with pytest.raises(VaultError):
        epochs.newest_epoch(vaults["elm"], CHECK)


def test_a_stale_listing_does_not_hide_the_newest(
    vaults: dict[str, MemoryVault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing is a hint; what counts is the 404 after the newest."""
    for number in (1, 2):
        vaults["elm"].put_new(layout.epoch(number), epochs.encode(record(number, nonce=str(number))))
    monkeypatch.setattr(vaults["elm"], "list", lambda _prefix: [layout.epoch(1)])
    found = epochs.newest_epoch(vaults["elm"], CHECK)
    assert found is not None
    assert found.number == 2


def test_junk_names_are_passed_over(vaults: dict[str, MemoryVault]) -> None:
    """What is no epoch's name does not hide the newest, nor stop the one who looks for it."""
    first = record()
    epochs.seal_record(vaults, first, [], CHECK)
    for key in ("epoch/zzzzzzzz.json", "epoch/00000009.json.bak", "epoch/9.json", "epoch/"):
        vaults["elm"].put_new(key, b"junk")
    assert epochs.newest_epoch(vaults["elm"], CHECK) == first


def opened(vaults: dict[str, MemoryVault], *names: str, number: int) -> None:
    """An opening record of this epoch in these vaults, whoever signed it."""
    for name in names:
        vaults[name].put_new(layout.opening(number), b"{}")


def left(vaults: dict[str, MemoryVault]) -> int:
    """Number of the epoch that is left behind; 0 where the newest may have been opened."""
    found = epochs.left_behind(vaults, epochs.rivals_of(vaults, CHECK), CHECK)
    return 0 if found is None else found.number


def test_an_epoch_that_nobody_opened_leads_on_from_the_one_before(vaults: dict[str, MemoryVault]) -> None:
    """Proven by two of three vaults that lack its opening record, since two hold one that counts; one alone proves nothing."""
    sealed(vaults, record(1))
    assert left(vaults) == 0
    sealed(vaults, record(2, "birch"))
    assert left(vaults) == 1
    opened(vaults, "birch", number=2)
    assert left(vaults) == 1
    assert left({**vaults, "elm": Dead("elm")}) == 0
    opened(vaults, "elm", number=2)
    assert left(vaults) == 0
    sealed(vaults, record(3, "cedar"))
    sealed(vaults, record(4, "oak"))
    assert left(vaults) == 2


def test_where_somebody_wrote_it_was_opened(vaults: dict[str, MemoryVault]) -> None:
    """A thief removed the opening records: what the site wrote first lies in two vaults."""
    sealed(vaults, record(1))
    sealed(vaults, record(2, "birch"))
    assert left(vaults) == 1
    for name in ("birch", "cedar"):
        vaults[name].put_new(layout.first(2), b"{}")
    assert left(vaults) == 0


def test_two_epochs_of_one_number_prove_nothing(vaults: dict[str, MemoryVault]) -> None:
    """Somebody may have gone on under the other one."""
    sealed(vaults, record(1))
    vaults["birch"].put_new(layout.epoch(2), epochs.encode(record(2, "birch", "a")))
    assert left(vaults) == 1
    vaults["cedar"].put_new(layout.epoch(2), epochs.encode(record(2, "cedar", "b")))
    assert left(vaults) == 0


def test_a_set_that_changed_was_opened_before(vaults: dict[str, MemoryVault]) -> None:
    """The same host goes on under it, whether its opening record is there yet or not."""
    sealed(vaults, record(1))
    sealed(vaults, record(2))
    assert left(vaults) == 0


def sealed(vaults: dict[str, MemoryVault], new: EpochRecord) -> None:
    """In every vault."""
    for vault in vaults.values():
        vault.put_new(layout.epoch(new.number), epochs.encode(new))
