"""Vaults: the set that the serving site ships into changes, and it goes on serving."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError, TooFewVaults, VaultError
from resilience.model import Step
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.epoch import each

COPIES = (layout.LEDGER, layout.MEDIA)
AT_ONCE = 16


def admit(run: Run, step: Step) -> Facts:
    """Give the site's host the credentials for these vaults, so that its ship can turn by itself."""
    site = run.fleet.site(step.subject)
    vaults = tuple(str(name) for name in step.args["vaults"])
    run.world.plane.admit(site, run.outputs(site.name), run.epoch(site.name), vaults)
    return {"vaults": list(vaults)}


def turn(run: Run, step: Step) -> Facts:
    """Wait until the site ships under the new epoch and enough of its vaults count."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    turn_to = run.world.plane.force_turn if run.plan.forced else run.world.plane.await_turn
    turn_to(site, run.outputs(site.name), epoch)
    return {"epoch": epoch.number, "vaults": list(epoch.vaults)}


def fill(run: Run, step: Step) -> Facts:
    """Copy what new vaults lack of the ledger and the pictures, sealed as it is, from whichever vault has it."""
    new = [str(name) for name in step.args["vaults"]]
    others = {name: vault for name, vault in run.world.vaults.items() if name not in new}
    listed = each(others, lambda vault: [key for prefix in COPIES for key in vault.list(prefix)])
    holders: dict[str, list[Vault]] = {}
    for name, keys in listed.items():
        for key in () if isinstance(keys, ResilienceError) else keys:
            holders.setdefault(key, []).append(others[name])
    if all(isinstance(keys, ResilienceError) for keys in listed.values()):
        raise TooFewVaults(
            "No vault says what it holds.", "The new ones would stay empty.", "Bring one back and run this again."
        )
    return {"copied": {name: _fill(run.world.vaults[name], holders) for name in new}}


def _fill(vault: Vault, holders: dict[str, list[Vault]]) -> int:
    has = {key for prefix in COPIES for key in vault.list(prefix)}

    def copy(key: str) -> bool:
        return vault.put_new(key, _read(key, holders[key]))

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return sum(pool.map(copy, sorted(holders.keys() - has)))


def _read(key: str, holders: Iterable[Vault]) -> bytes:
    """One object from the first vault that has it."""
    told = []
    for vault in holders:
        try:
            data = vault.get(key)
        except ResilienceError as error:
            told.append(f"{vault.name}: {error.why}")
            continue
        if data is not None:
            return data
        told.append(f"{vault.name}: gone")
    raise VaultError(f"{key} can't be copied", "; ".join(told), "Bring back a vault that holds it, and run this again.")
