"""A stack's state in the vaults: encrypted before it comes here, signed by the operator, so that no vault can make one up."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from resilience.errors import MissingPart, ResilienceError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.epoch import each
from resilience.replication.listed import Doubt, in_turn
from resilience.replication.seals import Sign, Verify

FORMAT = "resilience-state/1"


class Stack(NamedTuple):
    """Whose state it is; a state of another fleet or stack is none of ours, whoever signed it."""

    fleet: str
    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest state that was found, still encrypted, and all that speaks against its being the newest there is."""

    vault: str
    key: str
    at_ms: int
    sealed: bytes
    passed_over: tuple[str, ...] = ()
    """One sentence for each object that was not believed."""
    silent: tuple[str, ...] = ()
    """Vaults that did not answer."""


def encode(stack: Stack, at_ms: int, sealed: bytes, sign: Sign) -> bytes:
    """The object: what is signed names the fleet, the stack and the moment, beside the encrypted state."""
    body = {
        "format": FORMAT,
        "fleet": stack.fleet,
        "stack": stack.name,
        "at_ms": at_ms,
        "sealed": base64.b64encode(sealed).decode(),
    }
    return seals.canonical(seals.sign_json(body, sign))


def newest(vaults: Mapping[str, Vault], stack: Stack, check: Verify) -> Kept:
    """The newest state of a stack that any vault holds and the operator signed; MissingPart where there is none."""
    answers = each(vaults, lambda vault: _newest_in(vault, stack, check))
    told = {name: answer for name, answer in answers.items() if not isinstance(answer, ResilienceError)}
    silent = tuple(name for name in answers if name not in told)
    passed_over = tuple(why for _, doubts in told.values() for why in doubts)
    found = [kept for kept, _ in told.values() if kept is not None]
    if not found:
        raise MissingPart(
            f"No vault that answers holds a state of {stack.name}'s stack that the operator signed.",
            " ".join((f"No answer from: {', '.join(silent) or 'none'}.", *passed_over)),
            "Bring a vault back, or let `resilience up` make the site anew and put a new state.",
        )
    best = max(found, key=lambda kept: (kept.at_ms, kept.vault))
    return Kept(best.vault, best.key, best.at_ms, best.sealed, passed_over, silent)


def _newest_in(vault: Vault, stack: Stack, check: Verify) -> tuple[Kept | None, list[str]]:
    """The newest state in one vault, and why what is named like a newer one was not believed."""
    doubts: list[str] = []
    moments = {key: at_ms for at_ms, key in _named(vault, stack)}
    for key, sealed in in_turn(vault, moments, lambda key, data: _decode(data, stack, moments[key], check)):
        if not isinstance(sealed, Doubt):
            return Kept(vault.name, key, moments[key], sealed), doubts
        doubts.append(f"{vault.name}: {key} {sealed}.")
    return None, doubts


def _named(vault: Vault, stack: Stack) -> list[tuple[int, str]]:
    """What is called like a state of this stack, newest first."""
    return sorted(_numbered(vault.list(layout.states(stack.name))), reverse=True)


def _numbered(keys: list[str]) -> Iterator[tuple[int, str]]:
    for key in keys:
        if (at_ms := layout.state_at(key)) is not None:
            yield at_ms, key


def is_kept(key: str, data: bytes, check: Verify) -> bool:
    """Whether this is what the operator put under this name."""
    value, at_ms = seals.verified_json(data, check) or {}, layout.state_at(key)
    stack = Stack(str(value.get("fleet")), key.removeprefix(layout.STATE).partition("/")[0])
    return at_ms is not None and not isinstance(_decode(data, stack, at_ms, check), Doubt)


def _decode(data: bytes, stack: Stack, at_ms: int, check: Verify) -> bytes | Doubt:
    """The encrypted state."""
    value = seals.verified_json(data, check)
    if value is None or value.get("format") != FORMAT:
        return Doubt("is no state that the operator signed")
    if (value.get("fleet"), value.get("stack")) != stack:
        return Doubt(f"was signed for {value.get('stack')} of fleet {value.get('fleet')}")
    if value.get("at_ms") != at_ms:
        return Doubt("is a state of another moment under this name")
    try:
        return base64.b64decode(value["sealed"], validate=True)
    except (KeyError, TypeError, ValueError):
        return Doubt("was signed and holds nothing that can be read")
