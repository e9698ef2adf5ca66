"""Epochs: who may write. Made and sealed by the operator, read by everybody.

Used on hosts and by the operator's engine alike; nothing here names an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple, TypeVar

from resilience.errors import Refused, ResilienceError, TooFewVaults, UsageError, VaultError
from resilience.model import EpochRecord, newest_first
from resilience.ports import Vault
from resilience.replication import chunk, layout, seals, signed
from resilience.replication.quorum import check_quorums
from resilience.replication.seals import Sign, Verify

T = TypeVar("T")
SEALED = "resilience-sealed/1"
NAMES = {field.name for field in fields(EpochRecord)}
Get = Callable[[str], Mapping[str, object]]
"""What vaults hold under a key (None: nothing), or the error, by their names."""


def make_record(
    *,
    number: int,
    site: str,
    nonce: str,
    parent: int,
    vaults: tuple[str, ...],
    k: int,
    s: int,
    sealed_at: float,
    signer: str,
    sign: Sign,
) -> EpochRecord:
    """A signed epoch record; UsageError unless its quorums intersect."""
    check_quorums(len(vaults), k, s)
    if number <= parent:
        raise UsageError(
            f"Epoch {number} cannot follow epoch {parent}.",
            "Numbers only rise.",
            "Read the newest epoch again and take the next number.",
        )
    bare = EpochRecord(number, site, nonce, parent, tuple(vaults), k, s, sealed_at, signer)
    return replace(bare, signature=sign(payload(bare)))


def continues(newer: EpochRecord, record: EpochRecord) -> bool:
    """Whether the same host writes on under the newer epoch, with another vault set: only it holds the key of both."""
    return newer.parent == record.number and newer.site == record.site and newer.signer == record.signer


def payload(record: EpochRecord) -> bytes:
    """What the operator signs: the record without its signature, as canonical JSON."""
    body = asdict(record)
    del body["signature"]
    return seals.canonical(body)


def encode(record: EpochRecord) -> bytes:
    """The record as its object in a vault."""
    return seals.canonical(asdict(record))


def from_json(value: Mapping[str, Any]) -> EpochRecord:
    """A record from plain JSON values."""
    return EpochRecord(**{**value, "vaults": tuple(value["vaults"])})


def decode(data: bytes, check: Verify) -> EpochRecord | None:
    """The record in an object when the operator signed it; None for anything else."""
    value = seals.verified_json(data, check)
    if value is None or value.keys() != NAMES or signed.read(value, EpochRecord) is None:
        return None
    return from_json(value)


def read(vault: Vault, number: int, check: Verify) -> EpochRecord | None:
    """The epoch of this number in one vault; None when absent. VaultError when it is not the operator's."""
    data = vault.get(layout.epoch(number))
    if data is None:
        return None
    record = decode(data, check)
    if record is None or record.number != number:
        raise VaultError(
            f"{vault.name} holds an epoch {number} that the operator did not sign",
            "The object was altered, or is a rehearsal's, or somebody else may write under epoch/.",
            f"Look at {layout.epoch(number)} in {vault.name}; take the vault out of the set until it is explained.",
        )
    return record


def newest_epoch(vault: Vault, check: Verify) -> EpochRecord | None:
    """The newest epoch in one vault: a listing as a hint, then forward until a 404."""
    keys = vault.list(layout.EPOCH)
    number = max((n for key in keys if (n := layout.epoch_number(key)) is not None), default=0)
    newest = read(vault, number, check) if number else None
    while (found := read(vault, number + 1, check)) is not None:
        newest, number = found, number + 1
    return newest


def each(vaults: Mapping[str, Vault], ask: Callable[[Vault], T]) -> dict[str, T | ResilienceError]:
    """Ask all vaults at once; an answer or the error, by name."""

    def one(vault: Vault) -> T | ResilienceError:
        try:
            return ask(vault)
        except ResilienceError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, len(vaults))) as pool:
        return dict(zip(vaults, pool.map(one, vaults.values()), strict=True))


def get_from(vaults: Mapping[str, Vault]) -> Get:
    """All of these are asked, and waited for."""
    return lambda key: each(vaults, lambda vault: vault.get(key))


def newest_of(vaults: Mapping[str, Vault], check: Verify) -> EpochRecord | None:
    """The newest epoch that any vault shows; TooFewVaults when not one of them answers."""
    return next(iter(rivals_of(vaults, check)), None)


def rivals_of(vaults: Mapping[str, Vault], check: Verify) -> list[EpochRecord]:
    """All epochs of the newest number, first the one that was sealed for good; usually one, or none."""
    answers = each(vaults, lambda vault: newest_epoch(vault, check))
    read_ok = [a for a in answers.values() if not isinstance(a, ResilienceError)]
    if not read_ok:
        raise TooFewVaults(
            "No vault says which epoch is the newest.",
            "; ".join(f"{name}: {answer}" for name, answer in answers.items()) or "There are no vaults.",
            "Bring a vault back and run the same command again.",
        )
    return likeliest(get_from(vaults), answers, check)


def surely_newest(vaults: Mapping[str, Vault], check: Verify) -> EpochRecord | None:
    """The newest epoch there is; TooFewVaults where a newer one could lie in vaults that do not answer.

    One that was forced may all the same: it is in fewer.
    """
    answers = each(vaults, lambda vault: newest_epoch(vault, check))
    newest = next(iter(likeliest(get_from(vaults), answers, check)), None)
    asked = newest.vaults if newest else tuple(vaults)
    needed = len(newest.vaults) - newest.s + 1 if newest else len(vaults)
    there = [name for name in asked if name in vaults and not isinstance(answers[name], ResilienceError)]
    if len(there) >= max(1, needed):
        return newest
    silent = {name: answers.get(name, "it may not be called") for name in asked if name not in there}
    raise TooFewVaults(
        f"Nobody knows which epoch is the newest: {len(there)} of the {needed} vaults answer that it takes to tell.",
        "; ".join(f"{name}: {a.what if isinstance(a, ResilienceError) else a}" for name, a in silent.items())
        or "There are no vaults.",
        "Bring a vault back and run the same command again.",
    )


def numbered(vaults: Mapping[str, Vault], number: int, check: Verify) -> list[EpochRecord]:
    """All epochs of one number that any vault shows, first the one that was sealed for good."""
    return likeliest(get_from(vaults), each(vaults, lambda vault: read(vault, number, check)), check)


def own_epochs(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> list[EpochRecord]:
    """The epochs under which this record's host has written without a break, the newest first: all but the last only continue."""
    own = [record]
    while (older := _own_before(vaults, own[-1], check)) is not None:
        own.append(older)
    return own


def _own_before(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> EpochRecord | None:
    older = numbered(vaults, record.parent, check) if record.parent else []
    return next((old for old in older if continues(record, old)), None)


def sealed_for_good(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> EpochRecord:
    """This epoch; where nothing says that it was sealed for good, the one under which its host goes on until it is."""
    while not _went_on(get_from(vaults), record, check):
        older = _own_before(vaults, record, check)
        if older is None:
            break
        record = older
    return record


def may_be_under(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> list[EpochRecord]:
    """The epochs under which this record's host may be as yet, the newest first: back to the one that it turned to last."""
    own = own_epochs(vaults, record, check)
    turned = (place for place, older in enumerate(own[:-1]) if _opened(get_from(vaults), older))
    return own[: next(turned, len(own) - 1) + 1]


def likeliest(get: Get, answers: Mapping[str, object], check: Verify) -> list[EpochRecord]:
    """The epochs of one number among these answers, first the one that was sealed for good."""
    found = newest_first({name: answer for name, answer in answers.items() if isinstance(answer, EpochRecord)})
    settled = settled_of(get, found, check)
    return sorted(found, key=lambda record: record != settled)


def settled_of(get: Get, rivals: Sequence[EpochRecord], check: Verify) -> EpochRecord | None:
    """Of several epochs of one number the one that was sealed for good: attested, opened, or written under.

    How many vaults show each says nothing once some are lost. None where there is one, or where nothing tells.
    """
    return next((record for record in rivals if _went_on(get, record, check)), None) if rivals[1:] else None


def _went_on(get: Get, record: EpochRecord, check: Verify) -> bool:
    """Attested, opened, or written under."""
    return _attested(get, record, check) or _opened(get, record) or _begun(get, record)


NONE: tuple[list[EpochRecord], list[EpochRecord]] = ([], [])


class Older(NamedTuple):
    """An epoch before the one that is sealed, and in how many of its vaults the new one must lie."""

    record: EpochRecord
    needed: int


def to_fence(vaults: Mapping[str, Vault], parent: int, check: Verify) -> list[Older]:
    """What a child of `parent` must fence, newest first: every epoch of that number, and back to one sealed for good.

    Of an epoch before those that has no site yet, enough vaults are those without which nobody could put an opening
    record into k of them and see no newer epoch there. One under which the host of the one before goes on has a site, and
    fences nothing: until it is opened that host may still write under the one before, by that one's vaults alone.
    """
    found: list[Older] = []
    back = _back(vaults, parent, check)
    known, opened = next(back, NONE)
    while known:
        before, opened_before = next(back, NONE)
        going_on = [record for record in known if any(continues(record, old) for old in before)]
        for r in known:
            has_site = r in opened or r in going_on or not found
            found.append(Older(r, r.s if has_site else len(r.vaults) - r.k + 1))
        if any(r not in going_on and _attested(get_from(vaults), r, check) for r in known):
            break
        known, opened = before, opened_before
    return found


def to_read(vaults: Mapping[str, Vault], parent: int, check: Verify) -> list[EpochRecord]:
    """Whose vaults may hold what a child of `parent` goes on from: back to one that was opened, into whose vaults all was put again.

    One that was sealed for good and never opened fences those before it, and holds nothing of theirs.
    """
    return [record for known, _ in _back(vaults, parent, check) for record in known]


def _back(
    vaults: Mapping[str, Vault], number: int, check: Verify
) -> Iterator[tuple[list[EpochRecord], list[EpochRecord]]]:
    """All epochs of this number, and back to one that was opened; which of them were opened."""
    while number:
        known = numbered(vaults, number, check)
        if not known:
            raise TooFewVaults(
                f"No vault that answers holds epoch {number}.",
                "A newer epoch must be sealed in enough of its vaults, and they are not known.",
                "Bring a vault back and run the same command again. Nothing was promoted.",
            )
        opened = [record for record in known if not record.parent or _opened(get_from(vaults), record)]
        yield known, opened
        number = 0 if opened else min(record.parent for record in known)


def _opened(get: Get, record: EpochRecord) -> bool:
    answers = get(layout.opening(record.number))
    return any(isinstance(a, bytes) and chunk.decode_opening(a, record) is not None for a in answers.values())


def _begun(get: Get, record: EpochRecord) -> bool:
    answers = get(layout.first(record.number))
    return any(isinstance(a, bytes) and chunk.decode_start(a, record) is not None for a in answers.values())


def left_behind(vaults: Mapping[str, Vault], rivals: Sequence[EpochRecord], check: Verify) -> EpochRecord | None:
    """The epoch before the newest one (of these rivals) that may have been opened last; None where the newest may have been.

    At its site somebody may serve.
    """
    newest = record = _alone(rivals)
    while record is not None and _unopened(vaults, record):
        older = _alone(numbered(vaults, record.parent, check))
        if older is None or (record == newest and continues(record, older)):
            return None
        record = older
    return None if record == newest else record


def _alone(rivals: Sequence[EpochRecord]) -> EpochRecord | None:
    return rivals[0] if len(rivals) == 1 else None


def _unopened(vaults: Mapping[str, Vault], record: EpochRecord) -> bool:
    """Whether so many of its vaults lack an opening record that k can't hold one, and no copy was promoted under it.

    One that lacks it, and has what was written first, had it once.
    """
    keys = layout.opening(record.number), layout.first(record.number)
    asked = {name: vaults[name] for name in record.vaults if name in vaults}
    answers = each(asked, lambda vault: any(vault.get(key) is not None for key in keys))
    absent = sum(answer is False for answer in answers.values())
    return record.parent > 0 and absent > len(record.vaults) - record.k


def attest(vaults: Mapping[str, Vault], record: EpochRecord, sign: Sign) -> None:
    """Leave word, wherever that works, that this epoch was sealed for good: another site than its own can't go on under its parent."""
    data = seals.canonical(seals.sign_json({"format": SEALED, "number": record.number, "nonce": record.nonce}, sign))
    each(vaults, lambda vault: vault.put_new(layout.sealed(record.number), data))


def _attested(get: Get, record: EpochRecord, check: Verify) -> bool:
    answers = get(layout.sealed(record.number))
    found = [seals.verified_json(a, check) for a in answers.values() if isinstance(a, bytes)]
    return any(
        f and (f.get("format"), f.get("number"), f.get("nonce")) == (SEALED, record.number, record.nonce) for f in found
    )


def seal_record(
    vaults: Mapping[str, Vault], record: EpochRecord, olds: Sequence[Older], check: Verify
) -> tuple[str, ...]:
    """Put the record into enough vaults of its own set and of every older one; the names that now hold it.

    What is already there counts only when it is this very record: our nonce, our signature.
    """
    if not check(payload(record), record.signature):
        raise UsageError(
            f"Epoch {record.number} does not carry the operator's signature.",
            "Vaults and ships would not believe it.",
            "Make the record with the fleet's own key.",
        )
    check_quorums(len(record.vaults), record.k, record.s)
    wanted = set(record.vaults).union(*(old.record.vaults for old in olds))
    asked = {name: vault for name, vault in vaults.items() if name in wanted}
    return sealed_in(record, olds, each(asked, lambda vault: seal_one(vault, record, olds, check)))


def seal_one(vault: Vault, record: EpochRecord, olds: Sequence[Older], check: Verify) -> bool:
    """True when the vault holds our record now, False when it holds another of this number.

    Older records go first where they are absent: ships look one number ahead, so no vault may skip one.
    """
    for old in sorted((old.record for old in olds), key=lambda old: old.number):
        vault.put_new(layout.epoch(old.number), encode(old))
    if vault.put_new(layout.epoch(record.number), encode(record)):
        return True
    return read(vault, record.number, check) == record


def sealed_in(
    record: EpochRecord, olds: Sequence[Older], answers: Mapping[str, bool | ResilienceError]
) -> tuple[str, ...]:
    """The vaults that hold the record, when that seals it; Refused or TooFewVaults when not. Pure."""
    sealed = tuple(name for name, answer in answers.items() if answer is True)
    _refuse_taken(record, answers)
    _require(record, "its own", record.vaults, record.s, sealed, answers)
    for old in olds:
        _require(record, f"epoch {old.record.number}'s", old.record.vaults, old.needed, sealed, answers)
    return sealed


def _refuse_taken(record: EpochRecord, answers: Mapping[str, bool | ResilienceError]) -> None:
    others = [name for name, answer in answers.items() if answer is False]
    if others and len(others) > len(record.vaults) - record.s:
        raise Refused(
            f"Epoch {record.number} was sealed by somebody else in {', '.join(others)}.",
            "Two promotions ran at once, and this one lost.",
            "Look at who holds the epoch (`resilience status`), then plan again: the next plan seals a newer one.",
        )


def _require(
    record: EpochRecord,
    which: str,
    names: tuple[str, ...],
    s: int,
    sealed: tuple[str, ...],
    answers: Mapping[str, bool | ResilienceError],
) -> None:
    got = [name for name in names if name in sealed]
    if len(got) >= s:
        return
    why = [
        f"{name}: " + (str(a).replace("\n", " ") if isinstance(a, ResilienceError) else "holds another epoch")
        for name, a in answers.items()
        if name in names and a is not True
    ]
    why += [f"{name}: not asked" for name in names if name not in answers]
    raise TooFewVaults(
        f"Epoch {record.number} is sealed in {len(got)} of the {s} vaults that {which} set needs.",
        "; ".join(why) or "No vault was given.",
        "Bring a vault back and run the same command again; nothing was promoted.",
    )
