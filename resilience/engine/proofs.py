"""Proofs: which vault gave the database back when, signed by the operator, in every vault.

A vault's own word proves nothing, and the journal is on one machine only: whoever looks from another believes what is signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def newest(world: World, vaults: Mapping[str, Vault]) -> dict[str, float]:
    """By vault when it was last proven, by the journal here and by what the operator signed and any of these vaults holds."""
    found: dict[str, float] = {}
    for event in world.log.read():
        if event.kind == "verified" and event.data["ok"]:
            name = str(event.data["vault"])
            found[name] = max(found.get(name, 0.0), event.when)
    for answer in each(vaults, _newest).values():
        for data in () if isinstance(answer, ResilienceError) else answer:
            told = proof.decode(data, world.signer.verify)
            if told is not None:
                found[told.vault] = max(found.get(told.vault, 0.0), told.at)
    return found


def _newest(vault: Vault) -> list[bytes]:
    """The newest proof of each vault that this one holds."""
    last = {key.rpartition("/")[0]: key for key in vault.list(layout.VERIFIED)}
    return [data for key in last.values() if (data := vault.get(key)) is not None]
