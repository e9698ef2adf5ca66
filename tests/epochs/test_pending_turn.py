"""Change the set, don't let ship turn, move the site: every way in which vaults are silent, and no lease is left standing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import TooFewVaults
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, seals
from resilience.replication import epoch as epochs
from resilience.replication.lease import Lease

OPERATOR, ACORN, BIRCH = (Ed25519PrivateKey.generate() for _ in range(3))
SIGN, CHECK = seals.signer(OPERATOR), seals.verifier(seals.public_hex(OPERATOR))
CHANGES = [
    (("ab", "bd"), 1),
    (("ab", "bd"), 2),
    (("abc", "bcd"), 1),
    (("abc", "bcd"), 2),
    (("abc", "bc"), 2),
    (("ab", "bc", "cd"), 1),
]
"""The sets that acorn was given one after the other, and how many vaults confirm (as many as stay, at most)."""


def record(number: int, site: str, names: str, k: int) -> EpochRecord:
    """An epoch of these vaults, with the fewest that seal it."""
    key, n = ACORN if site == "acorn" else BIRCH, len(names)
    return epochs.make_record(
        number=number,
        site=site,
        nonce=f"{number:032x}",
        parent=number - 1,
        vaults=tuple(names),
        k=k,
        s=max(n - k + 1, n // 2 + 1),
        sealed_at=1.0,
        signer=seals.public_hex(key),
        sign=SIGN,
    )


def seal(vaults: Mapping[str, MemoryVault], new: EpochRecord, answer: Sequence[str]) -> bool:
    """As the operator's command does it; whether it was sealed for good by the vaults that answer."""
    asked = {name: vaults[name] for name in answer}
    try:
        names = epochs.seal_record(asked, new, epochs.to_fence(asked, new.parent, CHECK) if new.parent else [], CHECK)
    except TooFewVaults:
        return False
    epochs.attest({name: vaults[name] for name in names}, new, SIGN)
    return True


def some(names: str) -> Iterator[tuple[str, ...]]:
    """Every choice of these."""
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


def turned_to(vaults: Mapping[str, MemoryVault], under: EpochRecord, names: Sequence[str]) -> None:
    """Ship put its opening record there, which it does under an epoch that it turned to."""
    opening = chunk.Opening(under.number, under.nonce, under.parent, 5, 5, 1, "1", 0.0)
    for name in names:
        vaults[name].put_new(layout.opening(under.number), chunk.encode_opening(opening, seals.signer(ACORN)))


def stands(vaults: Mapping[str, MemoryVault], under: EpochRecord) -> bool:
    """Whether acorn could write on under this epoch, if it reaches those vaults alone that suit it."""

    def suits(name: str) -> bool:
        alone = Lease(under, CHECK, 5.0)
        alone.look(vaults[name])
        return alone.superseded is None

    lease = Lease(under, CHECK, 5.0)
    for name in filter(suits, under.vaults):
        lease.look(vaults[name])
    return lease.stands()


@pytest.mark.parametrize(("sets", "k"), CHANGES)
def test_no_lease_stands_once_another_site_may_write(sets: tuple[str, ...], k: int) -> None:
    """Under whichever of its epochs acorn is: as far as it turned, or not at all."""
    everyone = "".join(sorted(set("".join(sets))))
    own = [record(number, "acorn", names, k) for number, names in enumerate(sets, 1)]
    other = record(len(own) + 1, "birch", sets[-1], k)
    seen: Counter[str] = Counter()
    for at, under in enumerate(own):
        for heard in some(everyone):
            for opened in [(), *combinations(under.vaults, k)] if at else [()]:
                for answer in some(everyone):
                    vaults = {name: MemoryVault(name) for name in everyone}
                    if not all(seal(vaults, mine, everyone if mine is not own[-1] else heard) for mine in own):
                        continue
                    turned_to(vaults, under, opened)
                    if not seal(vaults, other, answer):
                        continue
                    seen[f"moved from epoch {under.number}"] += 1
                    assert not stands(vaults, under), f"{under.number} of {sets}: {heard} {opened} {answer}"
    assert set(seen) == {f"moved from epoch {under.number}" for under in own}


def test_the_old_set_is_not_asked_once_ship_has_turned() -> None:
    """Acorn turned, and its first vault is gone: the set that it writes to now is enough."""
    vaults = {name: MemoryVault(name) for name in "abcd"}
    old, new = record(1, "acorn", "ab", 1), record(2, "acorn", "bd", 1)
    assert all(seal(vaults, mine, "abd") for mine in (old, new))
    assert not seal(vaults, record(3, "birch", "bd", 1), "bd"), "nobody knows whether it has"
    turned_to(vaults, new, "d")
    assert seal(vaults, record(3, "birch", "bd", 1), "bd")
