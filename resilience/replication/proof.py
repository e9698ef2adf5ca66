"""Proofs: the operator's signed word that a vault, by itself, gave the database back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.originals import first_good

FORMAT = "resilience-verified/1"
NEWEST = 8
"""So many of each vault's are read: by their names, which a clock gave, and so for nothing but to read less."""


def encode(fleet: str, vault: str, at: float, facts: Mapping[str, Any], sign: seals.Sign) -> bytes:
    """What was found in a vault, as its object."""
    told = {"format": FORMAT, "fleet": fleet, "vault": vault, "at": at, **facts}
    return seals.canonical(seals.sign_json(told, sign))


def decode(data: bytes, check: seals.Verify) -> dict[str, Any] | None:
    """What the operator signed; None when it was altered, or is no proof."""
    told = seals.verified_json(data, check)
    return told if told is not None and told.get("format") == FORMAT else None


def proven(vaults: Mapping[str, Vault], check: seals.Verify) -> set[tuple[str, str]]:
    """Vault and snapshot of the newest proofs that any of these vaults holds."""
    keys = sorted({key for vault in vaults.values() for key in vault.list(layout.VERIFIED)})
    newest = [
        key for _, of_vault in groupby(keys, key=lambda key: key.rpartition("/")[0]) for key in list(of_vault)[-NEWEST:]
    ]
    told = (first_good(vaults.values(), key, lambda data: decode(data, check)) for key in newest)
    return {(str(proof["vault"]), str(proof["snapshot"])) for proof in told if proof is not None and proof.get("ok")}
