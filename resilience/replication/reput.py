"""Putting again: before a promotion, k vaults of the new set hold everything up to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience.errors import Refused, ResilienceError, TooFewVaults
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication.chain import Chain
from resilience.replication.chunk import Opening
from resilience.replication.config import Config
from resilience.replication.epoch import each
from resilience.replication.gather import Gathered


def put_again(config: Config, vaults: Mapping[str, Vault], parts: Sequence[tuple[Gathered, Chain]]) -> None:
    """Put what each vault lacks of the chain; TooFewVaults unless k of the set then hold all of it."""

    def put(vault: Vault) -> int:
        done = 0
        for gathered, chain in parts:
            number = gathered.record.number
            for key, data in gathered.records.items():
                vault.put_new(key, data)
            for header in chain.headers:
                if vault.name not in gathered.holders(header):
                    vault.put_new(layout.chunk(number, header.start), gathered.object(header))
                    done += 1
        return done

    answers = each(vaults, put)
    whole = [
        name
        for name, answer in answers.items()
        if not isinstance(answer, ResilienceError) and not any(g.altered_in(name, c) for g, c in parts)
    ]
    _require(config, "hold the chain up to its end", whole, answers)


def put_opening(config: Config, vaults: Mapping[str, Vault], readers: Mapping[str, Vault], opening: Opening) -> None:
    """Put the opening record; TooFewVaults unless k hold this one, Refused when another is there."""
    sign = config.sign()
    data = chunk.encode_opening(opening, sign)
    key = layout.opening(opening.epoch)

    def put(vault: Vault) -> Opening | None:
        if vault.put_new(key, data):
            return opening
        held = readers[vault.name].get(key)
        return None if held is None else chunk.decode_opening(held, config.record)

    answers = each(vaults, put)
    found = {name: a for name, a in answers.items() if isinstance(a, Opening)}
    others = [name for name, a in found.items() if a.end != opening.end]
    if others:
        raise Refused(
            f"Epoch {opening.epoch} was opened at {lsn.show(found[others[0]].end)} in {', '.join(others)}.",
            f"This restore ended at {lsn.show(opening.end)}; two of them ran under one epoch.",
            "Stop the other one and run this again: it goes on from the opening that is there.",
        )
    _require(config, "hold the opening record", list(found), answers)


def _require(config: Config, what: str, good: Sequence[str], answers: Mapping[str, object]) -> None:
    k = config.record.k
    if len(good) >= k:
        return
    why = [f"{n}: {a.why}" for n, a in answers.items() if isinstance(a, ResilienceError)]
    raise TooFewVaults(
        f"Only {len(good)} of the {k} vaults that the new epoch needs {what}.",
        "; ".join(why) or "Some hold altered objects, which cannot be written over.",
        "Bring a vault back and run the same command again; nothing was promoted.",
    )
