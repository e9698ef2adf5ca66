"""Proofs: the operator's signed word that a vault, by itself, gave the database back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resilience.errors import ResilienceError
from resilience.ports import Vault
from resilience.replication import layout, seals, signed
from resilience.replication.epoch import each
from resilience.replication.originals import first_good
from resilience.replication.signed import Time

FORMAT = "resilience-verified/1"
NEWEST = 8
"""So many of each vault's are read, in each that holds any: by their names, which a clock gave, and so for nothing but to read less."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found in a vault."""

    vault: str
    at: Time
    ok: bool
    snapshot: str
    compared: bool | None = None
    """Whether its rows were the primary's; None where nobody compared them, as in all proofs until then."""
    not_compared: str = ""
    """Why nobody did."""


def encode(fleet: str, vault: str, at: float, facts: Mapping[str, Any], sign: seals.Sign) -> bytes:
    """What was found in a vault, as its object."""
    told = {"format": FORMAT, "fleet": fleet, "vault": vault, "at": at, **facts}
    return seals.canonical(seals.sign_json(told, sign))


def decode(data: bytes, check: seals.Verify) -> Proof | None:
    """What the operator signed; None when it was altered, or is no proof."""
    told = seals.verified_json(data, check)
    return signed.read(told, Proof) if told is not None and told.get("format") == FORMAT else None


def name(told: Proof) -> str:
    """Under which name it was put."""
    return layout.verified(told.vault, round(told.at * 1000))


def proven(vaults: Mapping[str, Vault], check: seals.Verify) -> set[tuple[str, str]]:
    """Vault and snapshot of the newest proofs of these vaults that any of them holds.

    Each is asked for what itself lists: names that one makes up take no room from what another holds.
    """
    answers = each(vaults, lambda vault: _held(vault, vaults, check))
    told = (proof for proofs in answers.values() if not isinstance(proofs, ResilienceError) for proof in proofs)
    return {(proof.vault, proof.snapshot) for proof in told if proof.ok}


def _held(vault: Vault, of: Iterable[str], check: seals.Verify) -> list[Proof]:
    """The newest proofs of each of these vaults that this one holds; what cannot be read is passed over."""
    found = (
        first_good([vault], key, lambda data: decode(data, check)) for keys in newest_names(vault, of) for key in keys
    )
    return [proof for proof in found if proof is not None]


def newest_names(vault: Vault, of: Iterable[str]) -> Iterator[list[str]]:
    """For each of these vaults the names of the newest proofs of it that this one lists."""
    keys = sorted(vault.list(layout.VERIFIED))
    return ([key for key in keys if key.startswith(layout.verifications(name))][-NEWEST:] for name in of)
