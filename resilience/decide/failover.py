"""The failover plan: seal first, promote late, move the name last, protect again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resilience.decide.opening import opening, stages
from resilience.decide.quorum import VaultSet, lost_vendors, newest_epoch, next_set, sealable
from resilience.errors import ResilienceError, UsageError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, Stage, Step, Survey, Unknown


def plan_failover(
    fleet: Fleet,
    survey: Survey,
    *,
    to: str | None = None,
    declared: frozenset[str] = frozenset(),
    hold: Stage | None = None,
) -> Plan:
    """What to do so that another site serves, without one call to a lost vendor.

    `declared` are vendors the operator says are lost; the current primary's vendor always is.
    The site is not opened as far as `hold`; `resilience open` goes on from there.
    Raises TooFewVaults when an epoch could not be sealed, UsageError for an impossible target.
    """
    old = newest_epoch(survey)
    if old is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "Either nothing was ever shipped, or no vault could be read.",
            "Run `resilience status` to see what each vault answers.",
        )
    source = fleet.site(old.site)
    lost = lost_vendors(fleet, survey, declared | {source.vendor})
    target = _target(fleet, old, lost, to)
    sealable(fleet, survey, old, lost)
    following = next_set(fleet, target, lost)
    steps = tuple(_steps(fleet, old, target, following, lost, stages(hold)))
    hazards = tuple(_hazards(fleet, survey, old, following, lost))
    return Plan("failover", fleet.name, source.name, target, steps, hazards, tuple(sorted(lost)))


def _target(fleet: Fleet, old: EpochRecord, lost: frozenset[str], to: str | None) -> str:
    usable = [s.name for s in fleet.sites if s.vendor not in lost and s.name != old.site]
    if to is None and usable:
        return usable[0]
    if to in usable:
        return str(to)
    why = f"{to} is at a lost vendor, is the current primary, or is not declared"
    raise UsageError(
        f"Can't fail over to {to}." if to else "No site is left to fail over to.",
        f"{why}." if to else "Every other site is at a vendor that counts as lost.",
        f"Sites that could be used: {', '.join(usable) or 'none; declare another one'}.",
    )


def _steps(
    fleet: Fleet, old: EpochRecord, target: str, following: VaultSet, lost: frozenset[str], opened: tuple[Stage, ...]
) -> Iterator[Step]:
    vaults = ", ".join(following.vaults)

    def step(action: str, phase: Phase, reason: str, subject: str = target, **args: Any) -> Step:
        return Step(f"{phase}.{action}.{subject}", action, subject, phase, reason, _plain(args))

    yield step(
        "seal",
        Phase.DECIDE,
        f"From here on {old.site} can get no write confirmed; {target} may write, into {vaults}.",
        number=old.number + 1,
        vaults=following.vaults,
        k=following.k,
        s=following.s,
    )
    yield step("provision", Phase.PROVISION, f"Make the hosts of {target} from its stack.")
    yield step("shape", Phase.PROVISION, "Install from the supplies in the vaults, nothing else.")
    if fleet.replication.leased:
        reason = f"Let the lease of {old.site} run out: what it may still write reaches the vaults."
        yield step("lease", Phase.DATA, reason)
    yield step("restore", Phase.DATA, "Newest good snapshot, and the WAL that any vault holds.")
    yield step("recover", Phase.DATA, "Replay to the end of the chain, not a byte less; promote.")
    yield step("ship", Phase.DATA, f"What is written here is copied to {vaults} from the start.")
    yield step("media", Phase.DATA, "Bring the pictures that the host lacks.")
    yield step("ledger", Phase.DATA, "Takedowns and erasures hold before anybody can read.")
    yield step("start", Phase.START, "Start the app, behind a closed gate.")
    yield step("verify", Phase.START, "Rows, pictures and takedowns agree; a user gets through.")
    yield from opening(target, [stage for stage in opened if stage != Stage.SIGN_UPS], Phase.START)
    if opened:
        for zone in fleet.names.zones:
            if zone.vendor not in lost:
                reason = f"Users find {target} through {zone.vendor}."
                yield step("point", Phase.NAME, reason, zone.vendor, site=target)
        way = "A user's journey" if Stage.WRITES in opened else "Reading"
        yield step("confirm", Phase.NAME, f"{way} by {fleet.names.host} succeeds.", stage=str(opened[-1]))
    yield from opening(target, [stage for stage in opened if stage == Stage.SIGN_UPS], Phase.NAME)
    yield step("protect", Phase.PROTECT, f"A verified copy again at another vendor: {vaults}.")
    yield step("state", Phase.PROTECT, "The stack's state goes into the vaults.")


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in args.items()}


def _hazards(
    fleet: Fleet, survey: Survey, old: EpochRecord, following: VaultSet, lost: frozenset[str]
) -> Iterator[Hazard]:
    if fleet.replication.leased:
        why = "Commits need not wait for vaults here: what no vault holds yet is lost."
        yield Hazard("loses-writes", why)
    if len(following.vaults) == 1:
        why = f"Only {following.vaults[0]} would hold copies afterwards."
        yield Hazard("single-vault-left", why)
    if not [zone for zone in fleet.names.zones if zone.vendor not in lost]:
        why = f"Every DNS vendor of {fleet.names.host} is lost: users would not find the new site by name."
        yield Hazard("name-stays", why)
    unread = [
        name
        for name in old.vaults
        if fleet.vault(name).vendor in lost or isinstance(survey.vaults[name].ledger, Unknown)
    ]
    if len(unread) >= old.k:
        why = f"Takedowns held only by {', '.join(unread)} would be missed."
        yield Hazard("stale-ledger", why)
