"""Hazards of leaving a site, each by its name: a danger is accepted by name, or the plan is not carried out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from resilience.decide.certificates import without_certificate
from resilience.decide.quorum import VaultSet, missed, orders_missed, short_of, usable
from resilience.model import EpochRecord, Fleet, Hazard, Point, Survey, Unknown, known


@dataclass(frozen=True, slots=True)
class Way:
    """From which epoch to which site, into which vaults, past which lost vendors; `forced` without the old quorum."""

    old: EpochRecord
    target: str
    following: VaultSet
    lost: frozenset[str]
    forced: bool = False
    leaving: frozenset[str] = frozenset()
    """Vendors that are still there, and gave notice or go with one that did: nothing afterwards counts on them."""
    planned: bool = False
    """The old site is asked to stop, and says that it did: in a switchover, or a restore while it lives."""
    lapse_s: float = 0.0
    """Seconds after the seal for which some site may still write that was not asked to stop."""
    point: Point | None = None
    """A restore: where the history is to end."""


def lapse_s(fleet: Fleet, survey: Survey, without: str = "") -> float:
    """By the fleet file, or by what a site was told when that was longer: a file that was changed since changed no host."""
    told = [seconds for site, seconds in survey.past.lapses.items() if site != without]
    return max(fleet.replication.lapse_s, *told, 0.0)


def hazards(fleet: Fleet, survey: Survey, way: Way) -> Iterator[Hazard]:
    """Everything that could go wrong on this way, as far as it can be told beforehand."""
    yield from _writing(fleet, survey, way)
    yield from _copies(fleet, survey, way)
    yield from _names(fleet, survey, way)
    yield from without_certificate(fleet, survey)
    if not any(run.target == way.target and run.kind != "up" for run in survey.past.runs):
        why = (
            f"Nobody ever brought the app back at {way.target}: how long it takes, and whether it works, is not known."
        )
        yield Hazard("never-run-here", why)
    yield from _orders(fleet, survey, way)


def _orders(fleet: Fleet, survey: Survey, way: Way) -> Iterator[Hazard]:
    listed = {
        vault.name
        for vault in fleet.vaults
        if vault.vendor not in way.lost and vault.name in survey.vaults and vault.name not in survey.orders_unread
    }
    if doubt := orders_missed(dict.fromkeys((way.old, *(known(survey.ledgers) or ()))), listed):
        why = f"{doubt}: what was ordered down could be shown again, and nobody be asked to sign off."
        yield Hazard("missed-order", why)
    for order in survey.orders:
        whom = f"on {order.vendor}" if order.vendor else "on us"
        why = (
            f"{order.authority} ordered {order.reference} on {order.issued}, served {whom}. A vendor's decision can be "
            "left behind, an order can't: somebody must sign off, and what was ordered down stays down. "
            + survey.not_obeyed.get(order.reference, "")
        ).rstrip()
        yield Hazard("legal-order", why, order.reference)
    if told := [f"{one.order.reference} ({one.who}, {one.at[:10]}: {one.why})" for one in survey.withdrawn]:
        verb = "order was" if len(told) == 1 else "orders were"
        why = (
            f"{len(told)} {verb} withdrawn: {'; '.join(told)}. Nobody is asked to sign off, and only what was taken down before "
            "stays down. Where one holds all the same, record it under another reference."
        )
        yield Hazard("withdrawn-order", why)


def _writing(fleet: Fleet, survey: Survey, way: Way) -> Iterator[Hazard]:
    if way.point is not None:
        when = datetime.fromtimestamp(way.point.at, UTC).isoformat(sep=" ", timespec="milliseconds")
        why = (
            f"Every write after {when} ({way.point.lsn} of epoch {way.point.epoch}) is undone, also where commits waited for "
            "vaults: posts, passwords, bans. Takedowns and erasures stay. The vaults keep what is cut off until it is pruned."
        )
        yield Hazard("loses-writes", why)
    elif way.forced:
        short = short_of(fleet, survey, way.old, way.lost)
        why = (
            "Whoever may write by the epoch that was missed is not fenced."
            if short is None
            else f"Only {len(short.left)} of the {short.needed} vaults needed to fence {way.old.site} can be used."
        )
        yield Hazard("split-brain", f"{why} It may go on having writes acknowledged that the new site never sees.")
        if (gone := missed(survey, way.old)) is not None:
            yield Hazard("missed-epoch", f"{gone}.")
        yield Hazard("loses-writes", "What only the vaults hold that can't be read is lost, also where commits waited.")
    elif way.lapse_s:
        yield Hazard("loses-writes", "Commits need not wait for vaults here: what no vault holds yet is lost.")
    elif not way.planned:
        why = (
            "Commits wait for vaults, pictures do not: one that was still being uploaded may be in none, though the row that "
            "names it is."
        )
        yield Hazard("loses-pictures", why)


def thin(old: EpochRecord, following: VaultSet) -> Iterator[Hazard]:
    """What is weaker than before with this vault set: one vault alone, or none that could be spared any more."""
    if len(following.vaults) == 1:
        yield Hazard("single-vault-left", f"Only {following.vaults[0]} would hold copies afterwards.")
    elif _spare(following.vaults, following.k, following.s) < 1 and (
        _spare(old.vaults, old.k, old.s) >= 1 or len(following.vaults) < len(old.vaults)
    ):
        why = (
            f"{' and '.join(following.vaults)} would all be needed: without any one of them the site can't be left, and "
            "commits that wait for vaults wait. Declare a vault at one more vendor, then `resilience vaults`."
        )
        yield Hazard("no-spare-vault", why)


def _spare(vaults: tuple[str, ...], k: int, s: int) -> int:
    """How many vaults can be lost with writes confirmed and a new epoch sealed by those that are left."""
    return len(vaults) - max(k, s)


def _copies(fleet: Fleet, survey: Survey, way: Way) -> Iterator[Hazard]:
    yield from thin(way.old, way.following)
    if silent := [name for name in way.following.vaults if isinstance(survey.vaults[name].epoch, Unknown)]:
        why = (
            f"{', '.join(silent)} would be in the vault set and does not answer. If its vendor is gone, too, plan with --lost: "
            "then nothing counts on it."
        )
        yield Hazard("silent-vault", why)
    if why := _stale(fleet, survey, way):
        yield Hazard("stale-ledger", why)
    newest = {n: known(survey.vaults[n].snapshot) for n in usable(fleet, survey, way.old, way.lost)}
    if not any(shown and _verified(survey, name, shown) for name, shown in newest.items()):
        why = f"No newest snapshot in {', '.join(newest) or 'any vault'} is known to have been read back by anybody."
        yield Hazard("unverified-copy", why)


def _stale(fleet: Fleet, survey: Survey, way: Way) -> str:
    """Why takedowns could be missed: of any epoch back to one whose own ledger holds all before it."""
    read = {
        vault.name
        for vault in fleet.vaults
        if vault.vendor not in way.lost
        and (seen := survey.vaults.get(vault.name)) is not None
        and not isinstance(seen.ledger, Unknown)
    }
    for record in dict.fromkeys((way.old, *(known(survey.ledgers) or ()))):
        unread = [name for name in record.vaults if name not in read]
        if len(unread) >= record.k:
            return f"Takedowns of epoch {record.number} or before that only {', '.join(unread)} hold would be missed."
    return survey.ledgers.why if isinstance(survey.ledgers, Unknown) else ""


def _verified(survey: Survey, vault: str, label: str) -> bool:
    """Whether the snapshot that this label names was verified in this vault; names are long, ids may be short."""
    return any(name == vault and f"-{snapshot}" in label for name, snapshot in survey.past.verified)


def _names(fleet: Fleet, survey: Survey, way: Way) -> Iterator[Hazard]:
    slow = {v: seen for v in survey.zones if v not in way.lost and (seen := known(survey.zones[v].ttl_s))}
    if slow and max(slow.values()) > fleet.names.ttl_s:
        why = (
            f"Declared is a TTL of {fleet.names.ttl_s} s, and {', '.join(f'{v} serves {t} s' for v, t in slow.items())}: "
            "until then users are sent to the old site. `resilience up` of the primary lowers it beforehand."
        )
        yield Hazard("slow-name", why)
    served = [zone.vendor for zone in fleet.names.zones if zone.vendor in way.lost]
    yield from every_name_lost(fleet, way.lost)
    if 0 < len(served) < len(fleet.names.zones):
        why = (
            f"{', '.join(served)} also serves {fleet.names.host}, and is not called. While its name server lives, some "
            f"users are sent to the old site: take it out of the delegation at {fleet.names.registrar or 'the registrar'}."
        )
        yield Hazard("old-name-served", why)


def every_name_lost(fleet: Fleet, lost: frozenset[str]) -> Iterator[Hazard]:
    """With no DNS vendor left that users are led to, nobody gets through by name until a person changed the delegation."""
    left = [zone for zone in fleet.names.zones if zone.vendor not in lost]
    if left and all(zone.spare for zone in left):
        why = (
            f"Every DNS vendor that {fleet.names.host} is delegated to is lost. {', '.join(zone.vendor for zone in left)} has it "
            f"spare: enter {', '.join(server for zone in left for server in zone.nameservers)} at "
            f"{fleet.names.registrar or 'the registrar'} now, alone. Until then nobody gets through by name."
        )
        yield Hazard("name-waits", why)
    if all(zone.vendor in lost for zone in fleet.names.zones):
        why = (
            f"Every DNS vendor of {fleet.names.host} is lost: users find the site by its address alone, until a zone "
            f"elsewhere is declared and the delegation is changed at {fleet.names.registrar or 'the registrar'}."
        )
        yield Hazard("name-stays", why)
