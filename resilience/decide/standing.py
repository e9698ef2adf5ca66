"""Standing hazards: dangers in how copies are kept, whether or not anybody fails over. `status` shows them by name."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.model import Fleet, Hazard, Survey, Unknown

HARMLESS = frozenset({"operator-may-delete"})
"""A trial that, where it fails, destroys nothing."""


def standing(fleet: Fleet, survey: Survey) -> tuple[Hazard, ...]:
    """Each hazard of the vaults, as far as it is known or as nobody knows it."""
    return (*_tried(fleet, survey), *_destroyable(fleet), *_locked(fleet))


def _tried(fleet: Fleet, survey: Survey) -> Iterator[Hazard]:
    """What a probe found that the store should refuse; a vault that nobody probed is no safe one."""
    untried = []
    for spec in fleet.sealing:
        seen = survey.vaults[spec.name].open if spec.name in survey.vaults else Unknown("not looked at")
        if isinstance(seen, Unknown):
            untried.append(spec.name)
        elif harm := {trial: said for trial, said in seen.items() if trial not in HARMLESS}:
            told = "; ".join(f"{trial}: {said}" for trial, said in harm.items())
            yield Hazard(
                "vault-destroyable", f"What is in {spec.name} is not safe from who has its credentials. {told}"
            )
    if untried:
        why = f"Nobody tried what a stolen credential could do at {', '.join(untried)}: resilience check"
        yield Hazard("vault-untried", why)


def _destroyable(fleet: Fleet) -> Iterator[Hazard]:
    """Where no vault has a lock, whoever steals the kit destroys every copy with the operator's credentials."""
    if fleet.vaults and not any(spec.lock_days for spec in fleet.vaults):
        names = ", ".join(spec.name for spec in fleet.vaults)
        why = f"Whoever has the kit can remove every version of everything in {names}: none has lock_days."
        yield Hazard("kit-destroys-copies", why)


def _locked(fleet: Fleet) -> Iterator[Hazard]:
    """A lock that keeps thieves out keeps what was deleted in."""
    for spec in fleet.vaults:
        if spec.lock_days:
            why = f"What people delete can be read in {spec.name}, by who has the fleet's keys, for {spec.lock_days} days."
            yield Hazard("locked-copies", why)
