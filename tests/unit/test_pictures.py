"""What rows name is in each vault of a set before its site is called protected: on vaults in memory, with a host that ships."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.steps.pictures import give_all
from resilience.errors import VaultError
from resilience.replication import layout, seals
from resilience.replication.apart import give, openable, split

RECIPIENTS = [str(pyrage.x25519.Identity.generate().to_public())]
ROWS = tuple(f"{number:064x}" for number in range(10))


class Place:
    """A site that goes on in cedar and elm, elm locked, with an app that hands pictures over and a ship that puts some."""

    def __init__(self, *, k: int = 1, locked: Collection[str] = ()) -> None:
        self.vaults = {name: MemoryVault(name) for name in ("cedar", "elm")}
        self.asked: list[int] = []
        self.puts, self.now = len(ROWS), 0.0
        """How many pictures ship puts at all."""
        self.lost: set[str] = set()
        self.named = set(ROWS)
        self.epoch: Any = SimpleNamespace(vaults=("cedar", "elm"), k=k, number=2, nonce="22" * 16, parent=1)
        plane = SimpleNamespace(named=lambda *_: ROWS, nowhere=lambda *_: sorted(self.lost))
        app = SimpleNamespace(still_named=lambda _, names: self.named & {*names}, ship_again=self._ship_again)
        world = SimpleNamespace(
            vaults=self.vaults,
            signer=SimpleNamespace(sign=lambda _: "signed"),
            plane=plane,
            app=app,
            clock=SimpleNamespace(now=lambda: self.now, sleep=self._sleep),
        )
        replication = SimpleNamespace(backlog_mb=128)
        fleet = SimpleNamespace(locked=frozenset(locked), replication=replication)
        self.run: Any = SimpleNamespace(world=world, fleet=fleet, outputs=lambda _: SimpleNamespace(site="acorn"))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _ship_again(self, _: object, names: Sequence[str]) -> int:
        self.asked.append(len(names))
        for name in names[: max(0, self.puts)]:
            for vault in self.vaults.values():
                vault.put_new(layout.media(name), b"sealed")
        self.puts -= len(names)
        return len(names)

    def give_all(self) -> Any:
        """As `protect` does."""
        return give_all(self.run, SimpleNamespace(name="acorn"), self.epoch)  # type: ignore[arg-type]

    def has(self, name: str) -> int:
        """How many pictures a vault gives back, by the headers that are left."""
        headers = [key for vault in self.vaults.values() for key in vault.list(layout.MEDIA)]
        return len(openable(self.vaults[name].list(layout.MEDIA), headers))


def test_what_is_in_no_vault_is_shipped_again_a_few_at_a_time() -> None:
    """So few that what waits for a vault stops nobody; then each is said to be filled, and the next look finds nothing to do."""
    place = Place()
    assert place.give_all() == {"brought": {"copied": 0, "shipped_again": 10}}
    assert place.asked == [4, 4, 2]
    assert all(vault.exists(layout.filled(2)) for vault in place.vaults.values())
    assert place.give_all() == {}
    assert len(place.asked) == 3


def test_one_that_does_not_come_is_told_and_gone_on_with() -> None:
    """No vault is said to be filled meanwhile; what came is not asked for again."""
    place = Place()
    place.puts = 6
    with pytest.raises(VaultError, match="2 pictures or keys that rows name are not in each of cedar, elm"):
        place.give_all()
    assert not any(vault.exists(layout.filled(2)) for vault in place.vaults.values())
    place.puts = len(ROWS)
    assert place.give_all() == {"brought": {"copied": 0, "shipped_again": 4}}


def test_what_nobody_has_or_names_is_waited_for_by_nobody() -> None:
    """Lost everywhere, or deleted since the rows were asked."""
    place = Place()
    place.lost, place.named = {ROWS[0]}, place.named - {ROWS[1]}
    assert place.give_all() == {"brought": {"copied": 0, "shipped_again": 8}}
    assert place.now == 0.0


def test_a_payload_whose_header_is_gone_is_no_copy() -> None:
    """Elm kept payloads alone, and the vaults with their headers are lost: it is given whole pictures."""
    place = Place(locked=["elm"])
    for row in ROWS:
        kept = split(row, seals.encrypt(b"a picture", RECIPIENTS))
        give(kept, place.vaults["elm"], [MemoryVault("birch")])
    assert place.has("elm") == 0
    place.give_all()
    assert (place.has("elm"), place.has("cedar")) == (10, 10)


def test_a_vault_that_does_not_say_what_it_has_is_not_believed() -> None:
    """Whether it lacks any is not known, so nothing is called done."""
    place = Place()

    def silent(prefix: str) -> list[str]:
        raise VaultError("elm does not answer", "It hangs.", "Again.")

    place.vaults["elm"].list = silent  # type: ignore[method-assign]
    with pytest.raises(VaultError, match="elm does not answer"):
        place.give_all()
