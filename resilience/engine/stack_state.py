"""A stack's state in the vaults: what lets another operator's machine go on with hosts that this one made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from resilience.engine.run import Facts, Run
from resilience.errors import MissingPart, Refused, ResilienceError, TooFewVaults, VaultError
from resilience.model import Event, Site
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
    note_known(world, site.name, key)  # before it is there: a command that is killed in between put it all the same
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


def note_known(world: World, site: str, key: str) -> None:
    """Journal that this machine's state is the one that the vaults hold under this key."""
    world.log.append(Event(world.clock.now(), "state-known", {"site": site, "key": key}))


def destroy(world: World, fleet: str, site: Site) -> None:
    """Destroy what the stack made; the emptied state goes into the vaults, else another machine would believe in its hosts."""
    _refuse_older(world, fleet, site)
    world.clouds[site.name].down(site)
    keep(world, fleet, site, tuple(world.vaults))


def _refuse_older(world: World, fleet: str, site: Site) -> None:
    """Refused where another machine put a newer state of this stack into the vaults: it made hosts that this one does not know."""
    kept = _newest(world, fleet, site)
    if kept is not None and _overtakes(world, site, kept):
        put = datetime.fromtimestamp(kept.at_ms / 1000, UTC).isoformat(timespec="seconds")
        raise Refused(
            f"What this machine knows of {site.name}'s hosts is not the newest.",
            f"{kept.vault} holds a state that another machine put there at {put}; the emptied one would hide its hosts.",
            f"Take that over: `resilience stack restore {site.name}`, then run the same command again.",
        )


def bring(run: Run, site: Site) -> Facts:
    """The newest state in the vaults, where this machine knows nothing of the stack or another one has overtaken it."""
    cloud, kept = run.world.clouds[site.name], _newest(run.world, run.fleet.name, site)
    own = cloud.outputs(site) is not None or cloud.state(site) is not None
    if kept is None or (own and not _overtakes(run.world, site, kept)):
        return {}
    _adopt(run.world, site, kept)
    return {"adopted": kept.key, "from": kept.vault, "doubts": [*kept.passed_over, *kept.silent]}


def take_over(world: World, fleet: str, site: Site) -> states.Kept:
    """Let this machine go on with the newest state that the operator signed and a vault holds."""
    kept = states.newest(world.vaults, states.Stack(fleet, site.name), world.signer.verify)
    _adopt(world, site, kept)
    return kept


def _newest(world: World, fleet: str, site: Site) -> states.Kept | None:
    """None where no vault that answers holds one."""
    try:
        return states.newest(world.vaults, states.Stack(fleet, site.name), world.signer.verify)
    except MissingPart:
        return None


def _overtakes(world: World, site: Site, kept: states.Kept) -> bool:
    """Whether another machine put it after all that this one knows; what vaults show when they hold the newest back is older."""
    known = [e.data["key"] for e in world.log.read() if e.kind == "state-known" and e.data["site"] == site.name]
    return bool(known) and kept.at_ms > max(layout.state_at(key) or 0 for key in known)


def _adopt(world: World, site: Site, kept: states.Kept) -> None:
    world.clouds[site.name].adopt(site, kept.sealed, over=_overtakes(world, site, kept))
    note_known(world, site.name, kept.key)


def _put(vault: Vault, key: str, data: bytes) -> None:
    """Raises unless the vault holds exactly this now; what was there before counts only where it is the same."""
    if not vault.put_new(key, data) and vault.get(key) != data:
        raise VaultError(
            f"{vault.name} holds another object as {key}", "Somebody put it there first.", "Look at that vault."
        )
