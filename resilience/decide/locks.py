"""Locks: what a locked vault keeps of what people delete, and who could take the keys of the rest."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.quorum import newest_epoch
from resilience.model import Fleet, Survey, Unknown, VaultSpec, payload_only


def locked_copies(fleet: Fleet) -> Iterator[tuple[str, str, str]]:
    """Of each vault with a lock: its name, what can be read there for how long, and what could be done about it."""
    for spec in fleet.vaults:
        if spec.lock_days:
            yield spec.name, *_kept(fleet, spec)


def unlike(fleet: Fleet, survey: Survey) -> dict[str, bool]:
    """Vaults of which the ship that serves says otherwise than the fleet file: whether it gives them payloads alone."""
    epoch = newest_epoch(survey)
    seen = survey.sites.get(epoch.site) if epoch else None
    if epoch is None or seen is None or isinstance(seen.ship, Unknown):
        return {}
    apart = payload_only(fleet.locked, epoch.vaults, epoch.k)
    said = {name: told.get("apart") for name, told in seen.ship.get("vaults", {}).items() if name in epoch.vaults}
    return {name: does for name, does in said.items() if does is not None and does != (name in apart)}


def untold(fleet: Fleet, survey: Survey) -> Iterator[tuple[str, str, str]]:
    """Of each such vault: its name, what the site's host does not know yet, and what tells it."""
    epoch = newest_epoch(survey)
    site = epoch.site if epoch else ""
    for name, does in unlike(fleet, survey).items():
        what = "payloads alone" if does else "whole pictures"
        why = f"{site} still puts {what} into {name}: its host does not know what the fleet file says of locks."
        yield name, why, f"resilience up {site}"


def _kept(fleet: Fleet, spec: VaultSpec) -> tuple[str, str]:
    """What one of them keeps."""
    days = f"by who has the fleet's keys, for {spec.lock_days} days"
    shorter = "Shorten lock_days to what an attack may go unnoticed."
    after, k = fleet.replication.erase_after_days, fleet.replication.k
    if spec.name not in fleet.locked:
        return (
            f"Single posts that people delete can be read in {spec.name}, {days}; keys of people who left and pictures go by `resilience erase`.",
            shorter,
        )
    if spec.copies_only:
        told = (
            f"What people delete can be read in the mirror {spec.name}, pictures and headers of pictures too, {days}."
        )
        return told, f"Leave lock_days out there, or have it at most erase_after_days ({after:g})."
    if not (sites := _whole(fleet, spec)):
        told = f"Text that people delete can be read in {spec.name}, {days}; of pictures it keeps payloads alone."
        return told, f"{shorter} Payloads open for nobody once `resilience erase` removed their headers elsewhere."
    told = f"What people delete can be read in {spec.name}, pictures too, {days}: serving at {', '.join(sites)}"
    why = f"fewer than {k} others have lock_days of at most erase_after_days ({after:g})."
    return (
        f"{told}, {why}",
        f"Have {k} such vaults in every set: a locked one then keeps of pictures the payload alone.",
    )


def _whole(fleet: Fleet, spec: VaultSpec) -> list[str]:
    """Sites in whose set this vault is given whole pictures."""
    sets = {site.name: [vault.name for vault in fleet.vaults_for(site.name)] for site in fleet.sites}
    k = fleet.replication.k
    return [
        s for s, names in sets.items() if spec.name in names and spec.name not in payload_only(fleet.locked, names, k)
    ]


def keyless(fleet: Fleet) -> tuple[list[str], list[str]]:
    """Vaults that keep payloads alone, and those that keep all headers, none of which has a lock that nobody lifts; nobody where one has."""
    apart = [v.name for v in fleet.sealing if v.name in fleet.locked and not _whole(fleet, v)]
    keepers = [v for v in fleet.sealing if v.name not in fleet.locked]
    if any(vault.keeps_thieves_out for vault in keepers) or not apart:
        return [], []
    return apart, [vault.name for vault in keepers]
