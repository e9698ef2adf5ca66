"""Standing hazards: dangers in how copies are kept, whether or not anybody fails over. `status` shows them by name."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.locks import keyless, locked_copies, untold
from resilience.model import Fleet, Hazard, Survey, Unknown

HARMLESS = frozenset({"operator-may-delete"})
"""A trial that, where it fails, destroys nothing."""
SNAPSHOTS_READ = "ship-may-not-read-snapshots"


def standing(fleet: Fleet, survey: Survey) -> tuple[Hazard, ...]:
    """Each hazard of the vaults, as far as it is known or as nobody knows it."""
    return (*_tried(fleet, survey), *destroyable(fleet), *_locked(fleet, survey))


def _tried(fleet: Fleet, survey: Survey) -> Iterator[Hazard]:
    """What a probe found that the store should refuse; a vault that nobody probed is no safe one."""
    untried = []
    for spec in fleet.sealing:
        seen = survey.vaults[spec.name].open if spec.name in survey.vaults else Unknown("not looked at")
        if isinstance(seen, Unknown):
            untried.append(spec.name)
            continue
        if SNAPSHOTS_READ in seen:
            why = f"Whoever has the primary's host may read the database as it ever was in {spec.name}: {seen[SNAPSHOTS_READ]}"
            yield Hazard("primary-reads-snapshots", f"{why}. A hot standby takes snapshots in its place.")
        if harm := {trial: said for trial, said in seen.items() if trial not in {*HARMLESS, SNAPSHOTS_READ}}:
            told = "; ".join(f"{trial}: {said}" for trial, said in harm.items())
            yield Hazard(
                "vault-destroyable", f"What is in {spec.name} is not safe from who has its credentials. {told}"
            )
    if untried:
        why = f"Nobody tried what a stolen credential could do at {', '.join(untried)}: resilience check"
        yield Hazard("vault-untried", why)


def destroyable(fleet: Fleet) -> Iterator[Hazard]:
    """Where no vault has a lock that nobody lifts, whoever steals the kit destroys every copy with the operator's credentials."""
    if fleet.vaults and not any(spec.keeps_thieves_out for spec in fleet.vaults):
        names = ", ".join(spec.name for spec in fleet.vaults)
        why = (
            f"Whoever has the kit can remove every version of everything in {names}: none has lock_days{_soft(fleet)}."
        )
        yield Hazard("kit-destroys-copies", why)
    apart, keepers = keyless(fleet)
    if apart:
        why = (
            f"Whoever has the kit can remove the headers of all pictures in {', '.join(keepers)}, and the payloads in "
            f"{', '.join(apart)} then open for nobody: none of the former has lock_days of up to erase_after_days{_soft(fleet)}."
        )
        yield Hazard("kit-destroys-copies", why)


def _soft(fleet: Fleet) -> str:
    """What is said of locks that are none."""
    names = ", ".join(spec.name for spec in fleet.vaults if spec.lock_days and not spec.keeps_thieves_out)
    return (
        f" that count (what Google keeps in {names} after it was deleted is no lock: the account's key ends it)"
        if names
        else ""
    )


def _locked(fleet: Fleet, survey: Survey) -> Iterator[Hazard]:
    """A lock that keeps thieves out keeps what was deleted in."""
    for _, why, advice in (*locked_copies(fleet), *untold(fleet, survey)):
        yield Hazard("locked-copies", f"{why} {advice}")
