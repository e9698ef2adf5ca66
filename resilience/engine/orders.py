"""Legal orders: recorded in the vaults, signed by the operator, so that whoever has the fleet's kit finds them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import NamedTuple

from resilience.errors import ResilienceError, TooFewVaults, UsageError, VaultError
from resilience.model import LegalOrder, Withdrawal
from resilience.ports import Vault, World
from resilience.replication import layout, seals, signed
from resilience.replication.epoch import each, newest_of
from resilience.replication.listed import TRIES, Doubt, in_turn
from resilience.replication.seals import Sign, Verify

PREFIX = "order/"
WITHDRAWN = "-withdrawn-"
NAMED = re.compile(rf"{PREFIX}[0-9a-f]{{16}}({WITHDRAWN}[0-9a-f]{{16}})?\.json", re.ASCII)
LONGEST = layout.RECORD // 2
"""Bytes of an order: whatever withdraws it says all its words again, and more."""
KEYS = {"signature", *(field.name for field in fields(LegalOrder))}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an order lies now, and which vaults lack it, each with why."""

    held: tuple[str, ...]
    lacking: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """The orders that vaults show and the operator signed, by reference: those that hold, and those that were withdrawn."""

    orders: tuple[LegalOrder, ...]
    silent: Mapping[str, ResilienceError]
    """Vaults that did not list theirs, or name an order that nobody gives: each with why."""
    doubts: tuple[str, ...] = ()
    """Each object that is not what it should be, in words."""
    withdrawn: tuple[Withdrawal, ...] = ()


class Signed(NamedTuple):
    """An order as a vault holds it."""

    order: LegalOrder
    data: bytes


class TakenBack(NamedTuple):
    """A withdrawal as a vault holds it."""

    withdrawal: Withdrawal
    data: bytes


class Shown(NamedTuple):
    """What one vault has under names of orders: orders and withdrawals by their names, and why it has none under others."""

    believed: dict[str, Signed]
    withdrawn: dict[str, TakenBack]
    doubted: dict[str, Doubt]


def record(world: World, order: LegalOrder) -> Recorded:
    """Put the order into every vault; TooFewVaults unless any k vaults of the present set hold it between them."""
    signed = encode(order, world.signer.sign)
    if len(signed) > LONGEST:
        raise _too_long(order)
    for withdrawal in listing(world, world.vaults).withdrawn:
        if withdrawal.order.reference == order.reference:
            raise _withdrawn_before(withdrawal)
    return _everywhere(world, f"Order {order.reference}", lambda vault: _put(vault, key(order), signed))


def withdraw(world: World, reference: str, who: str, why: str) -> tuple[tuple[Withdrawal, ...], Recorded]:
    """Say in every vault that the order was recorded by mistake, in each version that any shows; what was said before stands.

    Nothing is written over or removed: whoever keeps back what was said has the order hold again, and nobody forgets it.
    """
    answers = _answers(world, world.vaults)
    versions = _versions(answers).get(_key(reference))
    if not versions:
        raise _not_on_record(reference, answers)
    said, at = _withdrawals(answers), datetime.fromtimestamp(world.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for order in {one.order for one in versions.values()}:
        if withdrawn_key(order) not in said:
            new = Withdrawal(order, who, at, why)
            said[withdrawn_key(order)] = TakenBack(new, encode_withdrawal(new, world.signer.sign))
    ours = {name: one for name, one in sorted(said.items()) if one.withdrawal.order.reference == reference}

    def put(vault: Vault) -> None:
        for name, one in ours.items():
            if not vault.put_new(name, one.data) and not _withdraws(vault, name, world.signer.verify):
                raise _something_else(vault.name, name)

    done = _everywhere(world, f"The withdrawal of {reference}", put)
    return tuple(one.withdrawal for one in ours.values()), done


def _everywhere(world: World, what: str, put: Callable[[Vault], None]) -> Recorded:
    answers = each(world.vaults, put)
    lacking = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    held = tuple(name for name in answers if name not in lacking)
    _require(world, what, held, lacking)
    return Recorded(held, lacking)


def _require(world: World, what: str, held: tuple[str, ...], lacking: Mapping[str, str]) -> None:
    """So many that none is forgotten where only k vaults are left; all of them where no epoch says how many those are."""
    epoch = newest_of(world.vaults, world.signer.verify) if held else None
    asked = epoch.vaults if epoch else tuple(world.vaults)
    needed = len(asked) - epoch.k + 1 if epoch else len(asked)
    there = [name for name in asked if name in held]
    if held and len(there) >= needed:
        return
    unasked = {name: "it may not be called" for name in asked if name not in world.vaults}
    raise TooFewVaults(
        f"{what} is recorded in {', '.join(held) or 'no vault'}: {len(there)} of the {needed} vaults that it takes.",
        f"Lacking: {'; '.join(f'{name}: {why}' for name, why in {**lacking, **unasked}.items())}.",
        "Were the others lost, it would be forgotten. Bring a vault back and run the same command again.",
    )


def encode(order: LegalOrder, sign: Sign) -> bytes:
    """The order as its object in a vault."""
    return seals.canonical(seals.sign_json(asdict(order), sign))


def encode_withdrawal(withdrawal: Withdrawal, sign: Sign) -> bytes:
    """The withdrawal as its object in a vault: with all the words of the order, so that it is told also where that is not shown."""
    return seals.canonical(seals.sign_json(asdict(withdrawal), sign))


def listing(world: World, vaults: Mapping[str, Vault]) -> Listing:
    """Every order that any of these vaults shows, who did not say, and what speaks against what was shown."""
    answers = _answers(world, vaults)
    versions, withdrawn = _versions(answers), _withdrawals(answers)
    silent = {name: answer for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    doubts = []
    for vault, answer in answers.items():
        for name, doubt in ({} if isinstance(answer, ResilienceError) else answer.doubted).items():
            doubts.append(f"{vault}: {name} {doubt}")
            if name not in versions and WITHDRAWN not in name:
                silent[vault] = _hidden(vault, name)
    holding = list(_holding(versions, withdrawn))
    for found in holding:
        usual = _usual(found).order
        differ = sorted(vault for vault, one in found.items() if one.order != usual)
        doubts += [f"{vault} holds {usual.reference} with other words than most" for vault in differ]
    orders = sorted(map(_merged, holding), key=lambda order: order.reference)
    taken_back = sorted((one.withdrawal for one in withdrawn.values()), key=lambda one: (one.order.reference, one.at))
    return Listing(tuple(orders), silent, tuple(doubts), tuple(taken_back))


def no_posts(world: World, order: LegalOrder) -> tuple[str, ...]:
    """What the order names that is no post, so that nobody can take it down: an earlier version took any words."""
    return tuple(named for named in order.down if world.app.post_id(named) is None)


def not_obeyed(order: LegalOrder, words: Sequence[str]) -> str:
    """What a person is told of such words; empty where there are none."""
    verb = "name" if len(words) > 1 else "names"
    return f"{', '.join(words)} in {order.reference} {verb} no post: nobody can take that down." if words else ""


def spread(world: World) -> Mapping[str, int | ResilienceError]:
    """Give each vault the orders and withdrawals that it lacks and another one has; how many that were, or why it took none."""
    answers = _answers(world, world.vaults)
    known = {name: _usual(found).data for name, found in _versions(answers).items()}
    known |= {name: one.data for name, one in _withdrawals(answers).items()}

    def give(vault: Vault) -> int:
        answer = answers[vault.name]
        if isinstance(answer, ResilienceError):
            raise answer
        lacking = sorted(known.keys() - answer.believed.keys() - answer.withdrawn.keys())
        taken = [name for name in lacking if not vault.put_new(name, known[name])]
        for name in taken:
            _require_same(vault, name, known[name])
        return len(lacking) - len(taken)

    return each(world.vaults, give) if known else {}


def _answers(world: World, vaults: Mapping[str, Vault]) -> Mapping[str, Shown | ResilienceError]:
    return each(vaults, lambda vault: _shown(vault, world.signer.verify))


def _shown(vault: Vault, check: Verify) -> Shown:
    """What a vault has under names of orders: an order, or a withdrawal, counts under its own name alone."""

    def read(name: str, data: bytes) -> Signed | TakenBack | Doubt:
        order, withdrawal = decode(data, check), decode_withdrawal(data, check)
        if order is not None and key(order) == name:
            return Signed(order, data)
        if withdrawal is not None and withdrawn_key(withdrawal.order) == name:
            return TakenBack(withdrawal, data)
        return Doubt(f"is no {'withdrawal' if WITHDRAWN in name else 'order'} of that name")

    shown = Shown({}, {}, {})
    for name, found in in_turn(vault, filter(NAMED.fullmatch, vault.list(PREFIX)), read):
        if isinstance(found, Doubt):
            shown.doubted[name] = found
        elif isinstance(found, TakenBack):
            shown.withdrawn[name] = found
        elif isinstance(found, Signed):
            shown.believed[name] = found
    if len(shown.doubted) == TRIES:
        raise VaultError(
            f"{vault.name} lists orders that are none",
            f"{TRIES} names in it hold no order; what else it lists was not looked at.",
            f"Look at the objects below {PREFIX} in {vault.name}; take it out of the set until they are explained.",
        )
    return shown


def _versions(answers: Mapping[str, Shown | ResilienceError]) -> dict[str, dict[str, Signed]]:
    """By name of an order, what each vault that shows it holds."""
    found: dict[str, dict[str, Signed]] = {}
    for vault, answer in answers.items():
        for name, one in ({} if isinstance(answer, ResilienceError) else answer.believed).items():
            found.setdefault(name, {})[vault] = one
    return found


def _withdrawals(answers: Mapping[str, Shown | ResilienceError]) -> dict[str, TakenBack]:
    """By its name each withdrawal that any vault shows; of two of one order the one that was said first."""
    found: dict[str, TakenBack] = {}
    for answer in answers.values():
        for name, one in ({} if isinstance(answer, ResilienceError) else answer.withdrawn).items():
            found[name] = min(found.get(name, one), one, key=lambda said: (said.withdrawal.at, said.data))
    return found


def _holding(versions: Mapping[str, Mapping[str, Signed]], withdrawn: Container[str]) -> Iterator[Mapping[str, Signed]]:
    """Of each order what vaults show of it that nobody withdrew: other words under its reference hold all the same."""
    for found in versions.values():
        if left := {vault: one for vault, one in found.items() if withdrawn_key(one.order) not in withdrawn}:
            yield left


def _withdraws(vault: Vault, name: str, check: Verify) -> bool:
    """Whether the vault holds a withdrawal under its own name, whoever said it when."""
    found = decode_withdrawal(vault.get(name) or b"", check)
    return found is not None and withdrawn_key(found.order) == name


def _usual(shown: Mapping[str, Signed]) -> Signed:
    """What most vaults show; of as many the one with the later date."""
    votes = Counter(one.order for one in shown.values())

    def rank(one: Signed) -> tuple[int, str, bytes, int]:
        return votes[one.order], one.order.issued, seals.canonical(asdict(one.order)), -len(one.data)

    return max(shown.values(), key=rank)


def _merged(shown: Mapping[str, Signed]) -> LegalOrder:
    """What most vaults show; and down is whatever any signed words of it name: one vault's may be older, or all that is left."""
    usual = _usual(shown).order
    others = {post for one in shown.values() for post in one.order.down} - set(usual.down)
    return replace(usual, down=(*usual.down, *sorted(others)))


def _put(vault: Vault, key: str, data: bytes) -> None:
    """Raises unless the vault holds exactly this now; an order is never changed, a new one has a reference of its own."""
    if not vault.put_new(key, data):
        _require_same(vault, key, data)


def _require_same(vault: Vault, key: str, data: bytes) -> None:
    if vault.get(key) != data:
        raise _something_else(vault.name, key)


def _hidden(vault: str, name: str) -> VaultError:
    return VaultError(
        f"{vault} does not give an order that it lists",
        f"No vault that answers gives an order of the name {name}: one may be recorded there.",
        f"Bring a vault back. Where nobody recorded such an order, look at the object in {vault} and remove it.",
    )


def _something_else(vault: str, key: str) -> VaultError:
    return VaultError(
        f"{vault} holds something else as {key}",
        "An order of this reference was recorded with other words, or somebody else put it there.",
        "See `resilience order list`. What changed is an order of its own: give it another reference.",
    )


def _too_long(order: LegalOrder) -> UsageError:
    return UsageError(
        f"Order {order.reference} names {len(order.down):,} posts, and is too long to be recorded.",
        f"As an object in a vault an order has at most {LONGEST:,} bytes: nobody would read a longer one.",
        "Record a part of it, and the rest under a reference of its own.",
    )


def _withdrawn_before(withdrawal: Withdrawal) -> UsageError:
    return UsageError(
        f"Order {withdrawal.order.reference} was withdrawn, and a withdrawal is for good.",
        f"{withdrawal.who} said so on {withdrawal.at}: {withdrawal.why}.",
        f"Where it was ordered all the same, record it under another reference, such as '{withdrawal.order.reference} (2)'.",
    )


def _not_on_record(reference: str, answers: Mapping[str, Shown | ResilienceError]) -> UsageError:
    silent = [f"{name}: {answer.what}" for name, answer in answers.items() if isinstance(answer, ResilienceError)]
    return UsageError(
        f"No vault that answers shows an order {reference}.",
        f"These did not list theirs: {'; '.join(silent)}." if silent else "Nobody recorded one under this reference.",
        "See `resilience order list`, and give the reference as it stands there.",
    )


def key(order: LegalOrder) -> str:
    """Where a vault keeps it."""
    return _key(order.reference)


def _key(reference: str) -> str:
    return f"{PREFIX}{hashlib.sha256(reference.encode()).hexdigest()[:16]}.json"


def withdrawn_key(order: LegalOrder) -> str:
    """Where a vault keeps that exactly these words of an order were withdrawn."""
    words = hashlib.sha256(seals.canonical(asdict(order))).hexdigest()[:16]
    return f"{key(order).removesuffix('.json')}{WITHDRAWN}{words}.json"


def decode(data: bytes, check: Verify) -> LegalOrder | None:
    """The order in an object, where the operator signed it."""
    value = seals.verified_json(data, check)
    if value is None or value.keys() != KEYS:
        return None
    return signed.read(value, LegalOrder)


def decode_withdrawal(data: bytes, check: Verify) -> Withdrawal | None:
    """The withdrawal in an object, where the operator signed it, and not a word more."""
    value = seals.verified_json(data, check)
    found = None if value is None else signed.read(value, Withdrawal)
    if value is None or found is None:
        return None
    body = {name: told for name, told in value.items() if name != "signature"}
    return found if seals.canonical(asdict(found)) == seals.canonical(body) else None
