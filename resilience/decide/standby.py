"""Where the app would go next: never at the vendor where it serves or one that goes with it, never at a lost one."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.quorum import with_companions
from resilience.decide.up import follow_steps
from resilience.model import Fleet, Hazard, Phase, Site, Step


def next_standby(fleet: Fleet, serving: str, lost: frozenset[str]) -> Site | None:
    """The first site in order that could be gone to once all is gone that leaves with this one, with a vault left elsewhere."""
    gone = lost | with_companions(fleet, frozenset({fleet.site(serving).vendor}))
    for site in fleet.sites:
        if site.vendor not in gone and fleet.vaults_for(site.name, gone):
            return site
    return None


def stand_by(fleet: Fleet, serving: str, lost: frozenset[str]) -> Iterator[Step]:
    """Choose the next standby; one that is declared hot begins to follow."""
    site = next_standby(fleet, serving, lost)
    if site is None:
        return
    if site.standby == "hot":
        yield from follow_steps(site.name)
    kept = "it follows from the vaults" if site.standby == "hot" else "nothing runs there until then"
    reason = f"Where to go if {fleet.site(serving).vendor} leaves as well: {kept}."
    step_id = f"{Phase.PROTECT}.stand-by.{site.name}"
    yield Step(step_id, "stand-by", site.name, Phase.PROTECT, reason, {"serving": serving})


def no_way_on(fleet: Fleet, serving: str, lost: frozenset[str]) -> Iterator[Hazard]:
    """Said by name where there is no next standby."""
    if next_standby(fleet, serving, lost) is None:
        home = fleet.site(serving).vendor
        others = sorted(with_companions(fleet, frozenset({home})) - {home} - lost)
        along = f", and {' and '.join(others)} with it" if others else ""
        why = f"If {home} leaves as well{along}, no site with a vault elsewhere is left to go to: declare one at another vendor."
        yield Hazard("no-next-standby", why)
