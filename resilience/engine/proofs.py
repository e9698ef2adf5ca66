"""Proofs: which vault gave the database back when, signed by the operator, in every vault.

A vault's own word proves nothing, and the journal is on one machine only: whoever looks from another believes what is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from resilience.errors import ResilienceError
from resilience.ports import Vault, World
from resilience.replication import layout, proof, seals
from resilience.replication.epoch import each
from resilience.replication.originals import first_good


def keep(world: World, fleet: str, vault: str, facts: Mapping[str, Any]) -> None:
    """Put what was proven of this vault into all that answer; a failure to prove is in the journal alone."""
    if facts["ok"]:
        at = world.clock.now()
        data = proof.encode(fleet, vault, at, facts, world.signer.sign)
        each(world.vaults, lambda held: held.put_new(layout.verified(vault, round(at * 1000)), data))


class Proven(NamedTuple):
    """When a vault gave the database back, whether its rows were the primary's, and when they were last found to be.

    `compared` is None where nobody compared them, and `not_compared` says why; `compared_at` is None where nobody ever did.
    """

    at: float
    compared: bool | None
    not_compared: str
    compared_at: float | None


def newest(world: World, vaults: Mapping[str, Vault]) -> dict[str, Proven]:
    """By vault when it was last proven, by the journal here and by what the operator signed and any of these vaults holds."""
    found: dict[str, Proven] = {}
    for name, proven in _told(world, vaults):
        found[name] = _later(found.get(name, proven), proven)
    return found


class Failed(NamedTuple):
    """When a vault did not give the database back, and what was found."""

    at: float
    what: str


def failed(world: World, proven: Mapping[str, Proven]) -> dict[str, Failed]:
    """By vault how its newest trial failed, by the journal here; no vault that was proven since, here or elsewhere."""
    tried = {str(event.data["vault"]): event for event in world.log.read() if event.kind == "verified"}
    return {
        name: Failed(event.when, str(event.data.get("what", "it says no more")))
        for name, event in tried.items()
        if not event.data["ok"] and (name not in proven or proven[name].at < event.when)
    }


def _later(one: Proven, other: Proven) -> Proven:
    """The later of two, which knows when rows were compared last even where that was in the other."""
    compared = max((at for at in (one.compared_at, other.compared_at) if at is not None), default=None)
    return max(one, other, key=lambda proven: proven.at)._replace(compared_at=compared)


def _told(world: World, vaults: Mapping[str, Vault]) -> Iterator[tuple[str, Proven]]:
    """All that says so: what is signed is the journal's own word, with the same time."""
    for event in world.log.read():
        if event.kind == "verified" and event.data["ok"]:
            yield str(event.data["vault"]), _proven(event.when, event.data)
    for answer in each(vaults, lambda vault: _held(vault, world.vaults, world.signer.verify)).values():
        for told in () if isinstance(answer, ResilienceError) else answer:
            yield told.vault, _proven(told.at, {"compared": told.compared, "not_compared": told.not_compared})


def _proven(at: float, facts: Mapping[str, Any]) -> Proven:
    compared = facts.get("compared")
    return Proven(at, compared, str(facts.get("not_compared", "")), at if compared else None)


def _held(vault: Vault, of: Iterable[str], check: seals.Verify) -> list[proof.Proof]:
    """The proofs of each of these vaults that this one holds: the newest, and back to one whose rows were compared."""
    newest = proof.newest_names(vault, of)
    return [told for keys in newest for told in _back_to_compared(vault, keys, check)]


def _back_to_compared(vault: Vault, keys: Sequence[str], check: seals.Verify) -> Iterator[proof.Proof]:
    for key in reversed(keys):
        told = first_good([vault], key, lambda data: proof.decode(data, check))
        if told is not None:
            yield told
            if told.compared:
                return
