"""Legal orders: recorded in the vaults, signed by the operator, so that whoever has the fleet's kit finds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import LegalOrder
from resilience.ports import Vault, World
from resilience.replication import seals
from resilience.replication.epoch import each
from resilience.replication.seals import Sign, Verify

PREFIX = "order/"


def record(world: World, order: LegalOrder) -> tuple[str, ...]:
    """Put the order into every vault that answers; the names of those that hold it now."""
    signed = encode(order, world.signer.sign)
    answers = each(world.vaults, lambda vault: _put(vault, key(order), signed))
    held = tuple(name for name, answer in answers.items() if answer is True)
    if not held:
        raise TooFewVaults(
            f"Order {order.reference} is recorded nowhere.",
            "; ".join(f"{n}: {a.what}" for n, a in answers.items() if isinstance(a, ResilienceError)),
            "Bring a vault back and run the same command again.",
        )
    return held


def encode(order: LegalOrder, sign: Sign) -> bytes:
    """The order as its object in a vault."""
    return seals.canonical(seals.sign_json(asdict(order), sign))


def recorded(world: World, vaults: Mapping[str, Vault]) -> tuple[LegalOrder, ...]:
    """Every order that any of these vaults shows and the operator signed, by reference."""
    answers = each(vaults, lambda vault: [vault.get(key) for key in vault.list(PREFIX)])
    found: dict[str, LegalOrder] = {}
    for answer in answers.values():
        for data in () if isinstance(answer, ResilienceError) else answer:
            if data is not None and (order := decode(data, world.signer.verify)):
                found[order.reference] = order
    return tuple(found[reference] for reference in sorted(found))


def _put(vault: Vault, key: str, data: bytes) -> bool:
    """True when the vault holds it now; an order is never changed, a new one has a reference of its own."""
    return vault.put_new(key, data) or vault.get(key) is not None


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
