"""Filled: the operator's word, in a vault that came into the set later, that it was given what was there before.

Ship puts into a vault what is written from then on. A vault that nobody filled counts as any other and lacks all that
is older; which those are, each machine is told by the vaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from resilience.model import EpochRecord, payload_only
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.epoch import each, numbered
from resilience.replication.seals import Sign, Verify

FILLED = "resilience-filled/1"


def leave(vault: Vault, record: EpochRecord, sign: Sign) -> None:
    """Say in this vault that under this epoch it was given all that the others held."""
    said = {"format": FILLED, "number": record.number, "nonce": record.nonce, "vault": vault.name}
    vault.put_new(layout.filled(record.number), seals.canonical(seals.sign_json(said, sign)))


def lacking(vaults: Mapping[str, Vault], newest: EpochRecord, check: Verify, locked: frozenset[str]) -> frozenset[str]:
    """Vaults of this epoch's set that say nothing of having been filled since they came into it; of silent ones nothing is known.

    One that kept payloads of pictures alone, and is to keep them whole, came into it when that began.
    """
    left, found, record = {*newest.vaults} & vaults.keys(), set[str](), newest
    while left and record.parent:  # those of the first day were there before anything was
        answers = each({name: vaults[name] for name in left}, partial(_is_filled, record, check))
        left = {name for name, filled in answers.items() if filled is False}
        older = next(iter(numbered(vaults, record.parent, check)), None)
        if older is None:  # no vault shows it any more: who was there is not known, and to fill does no harm
            return frozenset(found | left)
        there = {name for name in left if _as_now(name, older, newest, locked)}
        found, left, record = found | left - there, there, older
    return frozenset(found)


def _as_now(name: str, older: EpochRecord, newest: EpochRecord, locked: frozenset[str]) -> bool:
    """Whether this vault was given under an older epoch all that it is given now."""
    apart, now = (payload_only(locked, record.vaults, record.k) for record in (older, newest))
    return name in older.vaults and (name not in apart or name in now)


def _is_filled(record: EpochRecord, check: Verify, vault: Vault) -> bool:
    data = vault.get(layout.filled(record.number))
    said = seals.verified_json(data, check) if data is not None else None
    wanted = (FILLED, record.number, record.nonce, vault.name)
    return said is not None and tuple(said.get(word) for word in ("format", "number", "nonce", "vault")) == wanted
