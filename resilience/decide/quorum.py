"""Which vendors are lost, which vaults are left, and what set the next epoch has."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from resilience.errors import TooFewVaults
from resilience.model import EpochRecord, Fleet, Survey, Unknown, newest_first


@dataclass(frozen=True, slots=True)
class VaultSet:
    """An epoch's vaults with its quorums: k + s > n and s > n/2."""

    vaults: tuple[str, ...]
    k: int
    s: int


def lost_vendors(fleet: Fleet, survey: Survey, declared: frozenset[str]) -> frozenset[str]:
    """Vendors that must not be called: declared lost, or seen closed, and their companions."""
    closed = {name for name, is_open in survey.accounts.items() if is_open is False}
    return with_companions(fleet, declared | closed)


def with_companions(fleet: Fleet, vendors: frozenset[str]) -> frozenset[str]:
    """These vendors, and those that are expected to leave on the same day."""
    return vendors | {c for v in fleet.vendors if v.name in vendors for c in v.companions}


def next_set(fleet: Fleet, primary: str, lost: frozenset[str], unheard: frozenset[str] = frozenset()) -> VaultSet:
    """The vault set while `primary` is the primary; TooFewVaults when none would be left."""
    vaults = tuple(v.name for v in fleet.vaults_for(primary, lost) if v.name not in unheard)
    n = len(vaults)
    if n == 0:
        raise TooFewVaults(
            f"No vault would be left with {primary} as the primary.",
            "A vault never counts at the primary's own vendor, and the others are lost, or will be.",
            "Choose another target with --to SITE, or declare a vault at one more vendor.",
        )
    k = min(fleet.replication.k, n)
    s = max(min(fleet.replication.s, n), n - k + 1, n // 2 + 1)
    return VaultSet(vaults, k, s)


def newest_epoch(survey: Survey) -> EpochRecord | None:
    """The newest epoch that any vault showed; of two with one number, the one that is settled, or that more of its vaults hold."""
    found = newest_first(survey.epochs)
    return next((record for record in found if record.nonce == survey.settled), next(iter(found), None))


def usable(fleet: Fleet, survey: Survey, old: EpochRecord, lost: frozenset[str]) -> list[str]:
    """Vaults of the old set that answered and may be called."""
    return [
        name
        for name in old.vaults
        if name in survey.vaults
        and fleet.vault(name).vendor not in lost
        and not isinstance(survey.vaults[name].epoch, Unknown)
    ]


@dataclass(frozen=True, slots=True)
class Short:
    """An epoch that no new one could fence: which of its vaults can be used, and how many it takes."""

    record: EpochRecord
    left: list[str]
    needed: int


def short_of(fleet: Fleet, survey: Survey, old: EpochRecord, lost: frozenset[str]) -> Short | None:
    """Why no new epoch can be sealed: the newest one's quorum, or that of one under which its host may still be; None where it can."""
    for record, needed in ((old, old.s), *survey.older):
        left = usable(fleet, survey, record, lost)
        if len(left) < needed:
            return Short(record, left, needed)
    return None


def missed(survey: Survey, shown: EpochRecord) -> str | None:
    """What says that the vaults which answer missed an epoch, as they can once one was forced: what they show is not believed."""
    ships = [s.ship["epoch"] for s in survey.sites.values() if not isinstance(s.ship, Unknown) and s.ship.get("epoch")]
    known = max([survey.past.sealed, *map(int, ships)])
    if known <= shown.number:
        return None
    return (
        f"Epoch {known} was sealed, as this machine's journal or a site's ship says, and the vaults that are left show epoch "
        f"{shown.number}: what was written since is in none of them"
    )


def orders_missed(records: Iterable[EpochRecord], listed: Container[str]) -> str:
    """Why an order could be missed where only these vaults list theirs; empty where none can: n - k + 1 of a set hold each."""
    for record in records:
        there = [name for name in record.vaults if name in listed]
        if len(there) < record.k:
            return (
                f"{len(there)} of {', '.join(record.vaults)} (epoch {record.number}) list their orders, and it takes "
                f"{record.k} to miss none"
            )
    return ""


def silent(fleet: Fleet, survey: Survey, lost: frozenset[str]) -> tuple[str, ...]:
    """Vaults that may be called and do not answer: a forced plan gives up whatever only they hold."""
    unread = (name for name, reading in survey.vaults.items() if isinstance(reading.epoch, Unknown))
    return tuple(sorted(name for name in unread if fleet.vault(name).vendor not in lost))


def sealable(fleet: Fleet, survey: Survey, old: EpochRecord, lost: frozenset[str]) -> list[str]:
    """The usable vaults; TooFewVaults below the old set's s, or where an older epoch could not be fenced, or a newer one is known."""
    left = usable(fleet, survey, old, lost)
    if (short := short_of(fleet, survey, old, lost)) is not None:
        silent = "; ".join(
            f"{name}: {reading.epoch.why}"
            for name, reading in survey.vaults.items()
            if isinstance(reading.epoch, Unknown)
        )
        raise TooFewVaults(
            f"Only {len(short.left)} of the {short.needed} vaults needed to seal a new epoch can be used: "
            f"{', '.join(short.left) or 'none'}."
            + ("" if short.record == old else f" {old.site} may not have turned from epoch {short.record.number} yet."),
            "Without the seal the old site could still have writes acknowledged. "
            + (f"Silent: {silent}." if silent else "The others are at lost vendors."),
            "Bring a vault back and run the same command again. Nothing was promoted."
            + (" Without them: `resilience plan --force` says what that risks." if left else ""),
        )
    if gone := missed(survey, old):
        raise TooFewVaults(
            "The vaults that can be used do not show the newest epoch.",
            f"{gone}.",
            "Bring back a vault that holds it and run the same command again. Nothing was promoted. Without one: "
            "`resilience plan --force` says what that risks.",
        )
    return left
