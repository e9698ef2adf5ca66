"""Putting again: before a promotion, k vaults of the new set hold everything up to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TypeVar

from resilience.errors import Refused, ResilienceError, TooFewVaults, VaultError, VaultSilent
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import epoch as epochs
from resilience.replication.aside import begin
from resilience.replication.chain import Chain
from resilience.replication.chunk import Opening
from resilience.replication.config import Config
from resilience.replication.gather import Gathered
from resilience.replication.originals import read_good
from resilience.replication.patient import patience_with
from resilience.replication.seals import Verify

Parts = Sequence[tuple[Gathered, Chain]]
T = TypeVar("T")


def put_again(config: Config, writers: Mapping[str, Vault], readers: Mapping[str, Vault], parts: Parts) -> None:
    """Put what each vault lacks of the chain; TooFewVaults unless k of the set then hold all of it."""
    k = config.record.k

    def put(vault: Vault) -> None:
        for key, data in lacking(vault.name, parts):
            if not vault.put_new(key, data):
                _refuse_other(readers[vault.name], key, data, parts)

    answers: dict[str, object] = {**put_into(writers, readers, put, lambda told: len(whole(told, parts)) >= k)}
    for name in answers:
        if altered := [key for gathered, chain in parts for key in gathered.altered_in(name, chain)]:
            why = f"altered, and not to be written over: {', '.join(altered)}; the operator may remove them there"
            answers[name] = VaultError(f"{name} holds altered objects", why, "Another vault's copy is then put there.")
    enough(k, "hold the chain up to its end", whole(answers, parts), answers)


def _refuse_other(vault: Vault, key: str, data: bytes, parts: Parts) -> None:
    """VaultError where what was there already is no copy of what was to be put."""
    if not isinstance(read_good(vault, key, lambda held: _copy(held, key, data, parts)), tuple):
        why = (
            f"{key} is nothing that this epoch's site put, and not to be written over; the operator may remove it there"
        )
        raise VaultError(f"{vault.name} holds something else.", why, "Another vault's copy is then put there.")


def _copy(held: bytes, key: str, data: bytes, parts: Parts) -> object:
    """What is held, where it says the same: a chunk's very bytes, or a record that the same site signed; else None."""
    if held == data:
        return held
    for gathered, _ in parts:
        if key == layout.first(gathered.record.number):
            return chunk.decode_start(held, gathered.record)
        if key == layout.opening(gathered.record.number):
            return chunk.decode_opening(held, gathered.record)
    return None


def put_into(
    writers: Mapping[str, Vault],
    readers: Mapping[str, Vault],
    put: Callable[[Vault], T],
    suffices: Callable[[Mapping[str, object]], bool],
) -> dict[str, T | ResilienceError]:
    """Put into all vaults at once; what came of it, by name.

    Once the others suffice, nobody waits for a vault that takes none of what it is given for as long as the patience, or gives its
    readers nothing: its puts go on, and count for nothing. One that takes one after another is waited for.
    """
    doing = {name: begin(partial(put, vault)) for name, vault in writers.items()}
    while True:
        told = _outcomes(doing)
        late = [name for name in doing if name not in told]
        if not late:
            return told
        patience = None
        if suffices(told):
            patience = max(min(patience_with(writers[name]), patience_with(readers[name])) for name in late)
        if patience == 0:
            return {**told, **{name: _not_waited_for(name) for name in late}}
        wait([doing[name] for name in late], patience, FIRST_COMPLETED)


def _outcomes(doing: Mapping[str, Future[T]]) -> dict[str, T | ResilienceError]:
    """What came of those that have ended; a fault in the program is raised."""
    told: dict[str, T | ResilienceError] = {}
    for name, done in doing.items():
        if done.done():
            error = done.exception()
            told[name] = error if isinstance(error, ResilienceError) else done.result()
    return told


def _not_waited_for(name: str) -> VaultSilent:
    return VaultSilent(
        f"{name} is not waited for.", "It takes or gives nothing, and enough others took all.", f"Look at {name}."
    )


def lacking(name: str, parts: Parts) -> Iterator[tuple[str, bytes]]:
    """What this vault must be given: the records of each epoch, and chunks that it is not known to hold."""
    for gathered, chain in parts:
        yield from gathered.records.items()
        for header in chain.headers:
            if name not in gathered.holders(header, chain.confirmed):
                yield layout.chunk(gathered.record.number, header.start), gathered.object(header)


def whole(answers: Mapping[str, object], parts: Parts) -> list[str]:
    """Vaults that took all they lacked, and hold nothing altered in its place."""
    return [
        name
        for name, answer in answers.items()
        if not isinstance(answer, ResilienceError) and not any(g.altered_in(name, c) for g, c in parts)
    ]


def put_opening(config: Config, writers: Mapping[str, Vault], readers: Mapping[str, Vault], opening: Opening) -> None:
    """Put the opening record, and look for a newer epoch after; TooFewVaults unless k vaults then count."""
    data = chunk.encode_opening(opening, config.sign())

    def put(vault: Vault) -> Opening:
        key = layout.opening(opening.epoch)
        vault.put_new(key, data)
        held = opening_that_counts(readers[vault.name], config.record, config.verify)
        if held is None:
            why = f"{key} is nothing that this epoch's site signed, and not to be written over"
            raise VaultError(f"{vault.name} does not hold the opening record", why, f"Look at {key} in {vault.name}.")
        return held

    def suffices(told: Mapping[str, object]) -> bool:
        return sum(isinstance(answer, Opening) for answer in told.values()) >= config.record.k

    opened_in(config.record.k, opening, put_into(writers, readers, put, suffices))


def opening_that_counts(vault: Vault, record: EpochRecord, check: Verify) -> Opening | None:
    """The opening that a vault holds once it was put; Refused where a newer epoch is sealed by now."""
    held = read_good(vault, layout.opening(record.number), lambda data: chunk.decode_opening(data, record))
    newer = epochs.read(vault, record.number + 1, check)
    if newer is not None:
        raise Refused(
            f"Epoch {newer.number} lets {newer.site} write; {record.site} may not be opened under epoch {record.number}.",
            "Somebody else took over while this promotion was under way.",
            "Run `resilience status`. Nothing was promoted here.",
        )
    return held[1] if isinstance(held, tuple) else None


def opened_in(k: int, opening: Opening, answers: Mapping[str, object]) -> list[str]:
    """The vaults that hold an opening at this end, when they are k; Refused when another is there. Pure."""
    for answer in answers.values():
        if isinstance(answer, Refused):
            raise answer
    found = {name: a for name, a in answers.items() if isinstance(a, Opening)}
    others = [name for name, a in found.items() if a.end != opening.end]
    if others:
        raise Refused(
            f"Epoch {opening.epoch} was opened at {lsn.show(found[others[0]].end)} in {', '.join(others)}.",
            f"This restore ended at {lsn.show(opening.end)}; two of them ran under one epoch.",
            "Stop the other one and run this again: it goes on from the opening that is there.",
        )
    enough(k, "hold the opening record", list(found), answers)
    return list(found)


def enough(k: int, what: str, good: Sequence[str], answers: Mapping[str, object]) -> None:
    """TooFewVaults unless k vaults are good. Pure."""
    if len(good) >= k:
        return
    why = [f"{n}: {a.why}" for n, a in answers.items() if isinstance(a, ResilienceError)]
    raise TooFewVaults(
        f"Only {len(good)} of the {k} vaults that the new epoch needs {what}.",
        "; ".join(why) or "Some hold altered objects, which cannot be written over.",
        "Bring a vault back, or remove there what is in the way with the operator's credentials, and run the same command "
        "again; nothing was promoted.",
    )
