"""Legal orders: recorded in the vaults, signed by the operator, so that whoever has the fleet's kit finds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from resilience.errors import ResilienceError, TooFewVaults, VaultError
from resilience.model import LegalOrder
from resilience.ports import Vault, World
from resilience.replication import seals
from resilience.replication.epoch import each, newest_of
from resilience.replication.seals import Sign, Verify

PREFIX = "order/"
Answer: TypeAlias = dict[str, bytes | None] | ResilienceError


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an order lies now, and which vaults lack it, each with why."""

    held: tuple[str, ...]
    lacking: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """The orders that vaults show and the operator signed, by reference; and which vaults did not list theirs, each with why."""

    orders: tuple[LegalOrder, ...]
    silent: Mapping[str, ResilienceError]


def record(world: World, order: LegalOrder) -> Recorded:
    """Put the order into every vault; TooFewVaults unless any k vaults of the present set hold it between them."""
    signed = encode(order, world.signer.sign)
    answers = each(world.vaults, lambda vault: _put(vault, key(order), signed))
    lacking = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    held = tuple(name for name in answers if name not in lacking)
    _require(world, order, held, lacking)
    return Recorded(held, lacking)


def _require(world: World, order: LegalOrder, held: tuple[str, ...], lacking: Mapping[str, str]) -> None:
    """So many that none is forgotten where only k vaults are left; all of them where no epoch says how many those are."""
    epoch = newest_of(world.vaults, world.signer.verify) if held else None
    asked = epoch.vaults if epoch else tuple(world.vaults)
    needed = len(asked) - epoch.k + 1 if epoch else len(asked)
    there = [name for name in asked if name in held]
    if held and len(there) >= needed:
        return
    unasked = {name: "it may not be called" for name in asked if name not in world.vaults}
    raise TooFewVaults(
        f"Order {order.reference} is recorded in {', '.join(held) or 'no vault'}: {len(there)} of the {needed} vaults that it takes.",
        f"Lacking: {'; '.join(f'{name}: {why}' for name, why in {**lacking, **unasked}.items())}.",
        "Were the others lost, it would be forgotten. Bring a vault back and run the same command again.",
    )


def encode(order: LegalOrder, sign: Sign) -> bytes:
    """The order as its object in a vault."""
    return seals.canonical(seals.sign_json(asdict(order), sign))


def listing(world: World, vaults: Mapping[str, Vault]) -> Listing:
    """Every order that any of these vaults shows, and who did not say."""
    answers = _answers(vaults)
    shown = _shown(world, answers).values()
    found = {order.reference: order for data in shown if (order := _order(world, data))}
    silent = {name: answer for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    return Listing(tuple(found[reference] for reference in sorted(found)), silent)


def spread(world: World) -> Mapping[str, int | ResilienceError]:
    """Give each vault the orders that it lacks and another one has; how many that were, or why it took none."""
    shown = _shown(world, _answers(world.vaults)).values()
    known = {key(order): data for data in shown if (order := _order(world, data))}

    def give(vault: Vault) -> int:
        lacking = sorted(known.keys() - set(vault.list(PREFIX)))
        return sum(vault.put_new(one, known[one]) for one in lacking)

    return each(world.vaults, give) if known else {}


def _answers(vaults: Mapping[str, Vault]) -> Mapping[str, Answer]:
    return each(vaults, lambda vault: {name: vault.get(name) for name in vault.list(PREFIX)})


def _shown(world: World, answers: Mapping[str, Answer]) -> dict[str, bytes]:
    """Whatever vaults have under names of orders; of two under one name the one that the operator signed."""
    found: dict[str, bytes] = {}
    for answer in answers.values():
        for name, data in ({} if isinstance(answer, ResilienceError) else answer).items():
            if data is not None and (name not in found or _order(world, data)):
                found[name] = data
    return found


def _order(world: World, data: bytes) -> LegalOrder | None:
    return decode(data, world.signer.verify)


def _put(vault: Vault, key: str, data: bytes) -> None:
    """Raises unless the vault holds exactly this now; an order is never changed, a new one has a reference of its own."""
    if not vault.put_new(key, data) and vault.get(key) != data:
        raise VaultError(
            f"{vault.name} holds something else as {key}",
            "An order of this reference was recorded with other words, or somebody else put it there.",
            "See `resilience order list`. What changed is an order of its own: give it another reference.",
        )


def key(order: LegalOrder) -> str:
    """Where a vault keeps it."""
    return f"{PREFIX}{hashlib.sha256(order.reference.encode()).hexdigest()[:16]}.json"


def decode(data: bytes, check: Verify) -> LegalOrder | None:
    """The order in an object, where the operator signed it."""
    value = seals.verified_json(data, check)
    try:
        if value is None:
            return None
        del value["signature"]
        return LegalOrder(**{**value, "down": tuple(value["down"])})
    except (TypeError, KeyError):
        return None
