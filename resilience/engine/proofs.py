"""Proofs: which vault gave the database back when, signed by the operator, in every vault.

A vault's own word proves nothing, and the journal is on one machine only: whoever looks from another believes what is signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from resilience.errors import ResilienceError
from resilience.ports import Vault, World
from resilience.replication import layout, proof
from resilience.replication.epoch import each


def keep(world: World, fleet: str, vault: str, facts: Mapping[str, Any]) -> None:
    """Put what was proven of this vault into all that answer; a failure to prove is in the journal alone."""
    if facts["ok"]:
        at = world.clock.now()
        data = proof.encode(fleet, vault, at, facts, world.signer.sign)
        each(world.vaults, lambda held: held.put_new(layout.verified(vault, round(at * 1000)), data))


class Proven(NamedTuple):
    """When a vault gave the database back, and whether its rows were the primary's; None where nobody compared them."""

    at: float
    compared: bool | None


def newest(world: World, vaults: Mapping[str, Vault]) -> dict[str, Proven]:
    """By vault when it was last proven, by the journal here and by what the operator signed and any of these vaults holds."""
    found: dict[str, Proven] = {}
    for name, proven in _told(world, vaults):
        found[name] = max(found.get(name, proven), proven, key=lambda one: one.at)
    return found


def _told(world: World, vaults: Mapping[str, Vault]) -> Iterator[tuple[str, Proven]]:
    """All that says so: what is signed is the journal's own word, with the same time."""
    for event in world.log.read():
        if event.kind == "verified" and event.data["ok"]:
            yield str(event.data["vault"]), Proven(event.when, event.data.get("compared"))
    for answer in each(vaults, _newest).values():
        for data in () if isinstance(answer, ResilienceError) else answer:
            told = proof.decode(data, world.signer.verify)
            if told is not None:
                yield told.vault, Proven(told.at, told.compared)


def _newest(vault: Vault) -> list[bytes]:
    """The newest proof of each vault that this one holds."""
    last = {key.rpartition("/")[0]: key for key in vault.list(layout.VERIFIED)}
    return [data for key in last.values() if (data := vault.get(key)) is not None]
