"""A stack's state in the vaults: what lets another operator's machine go on with hosts that this one made."""

from __future__ import annotations

from collections.abc import Iterable

from resilience.engine.run import Facts, Run
from resilience.errors import MissingPart, ResilienceError, TooFewVaults, VaultError
from resilience.model import Site
from resilience.ports import Vault, World
from resilience.replication import layout, states
from resilience.replication.epoch import each


def keep(world: World, fleet: str, site: Site, names: Iterable[str]) -> Facts:
    """Put the state, signed, into these vaults as a new object; where it is in none, the command stops."""
    exported = world.clouds[site.name].state(site)
    if exported is None:
        return {"bytes": 0, "vaults": []}
    at_ms = round(world.clock.now() * 1000)
    key = layout.state(site.name, at_ms)
    signed = states.encode(states.Stack(fleet, site.name), at_ms, exported, world.signer.sign)
    vaults = {name: world.vaults[name] for name in names if name in world.vaults}
    answers = each(vaults, lambda vault: _put(vault, key, signed))
    held = [name for name, answer in answers.items() if not isinstance(answer, ResilienceError)]
    doubts = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    if not held:
        raise TooFewVaults(
            f"The state of {site.name}'s stack is in no vault.",
            f"{doubts}. Without it another machine could not take the site over.",
            "Bring a vault back and run the same command again.",
        )
    return {"bytes": len(signed), "vaults": held, "key": key, "doubts": doubts}


def bring(run: Run, site: Site) -> Facts:
    """Where this machine knows nothing of the stack: the newest state in the vaults, so that nothing is made twice."""
    cloud = run.world.clouds[site.name]
    if cloud.outputs(site) is not None or cloud.state(site) is not None:
        return {}
    try:
        kept = states.newest(run.world.vaults, states.Stack(run.fleet.name, site.name), run.world.signer.verify)
    except MissingPart:
        return {}
    cloud.adopt(site, kept.sealed)
    return {"adopted": kept.key, "from": kept.vault, "doubts": [*kept.passed_over, *kept.silent]}


def _put(vault: Vault, key: str, data: bytes) -> None:
    """Raises unless the vault holds exactly this now; what was there before counts only where it is the same."""
    if not vault.put_new(key, data) and vault.get(key) != data:
        raise VaultError(
            f"{vault.name} holds another object as {key}", "Somebody put it there first.", "Look at that vault."
        )
