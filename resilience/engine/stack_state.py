"""A stack's state in the vaults: what lets another operator's machine go on with hosts that this one made."""

from __future__ import annotations

from collections.abc import Iterable

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import Site
from resilience.replication.epoch import each


def keep(run: Run, site: Site, names: Iterable[str]) -> Facts:
    """Put the state into these vaults, as a new object; where it is in none, the command stops."""
    exported = run.world.clouds[site.name].state(site)
    if exported is None:
        return {"bytes": 0, "vaults": []}
    key = f"state/{site.name}/{run.world.clock.now():.0f}.json"
    vaults = {name: run.world.vaults[name] for name in names if name in run.world.vaults}
    answers = each(vaults, lambda vault: vault.put_new(key, exported))
    held = [name for name, answer in answers.items() if not isinstance(answer, ResilienceError)]
    doubts = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    if not held:
        raise TooFewVaults(
            f"The state of {site.name}'s stack is in no vault.",
            f"{doubts}. Without it another machine could not take the site over.",
            "Bring a vault back and run the same command again.",
        )
    return {"bytes": len(exported), "vaults": held, "key": key, "doubts": doubts}
