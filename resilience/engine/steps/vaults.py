"""Vaults: the set that the serving site ships into changes, and it goes on serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from resilience.engine import orders
from resilience.engine.anchor import note
from resilience.engine.run import Facts, Run
from resilience.engine.stack_state import bring
from resilience.errors import Refused, ResilienceError, TooFewVaults, VaultError, VendorClosed
from resilience.model import EpochRecord, Step, payload_only
from resilience.ports import Vault
from resilience.replication import filled, layout
from resilience.replication.apart import Owed, cut, give, owed
from resilience.replication.epoch import continues, each, numbered

COPIES = (layout.LEDGER, layout.MEDIA)
AT_ONCE = 16


def admit(run: Run, step: Step) -> Facts:
    """Give the site's host the credentials for these vaults, so that its ship can turn by itself."""
    site = run.fleet.site(step.subject)
    vaults = tuple(str(name) for name in step.args["vaults"])
    run.tell(site.name)
    run.world.plane.admit(site, run.outputs(site.name), run.to_tell(site.name, run.epoch(site.name)), vaults)
    return {"vaults": list(vaults)}


def turn(run: Run, step: Step) -> Facts:
    """Wait until the site ships under the new epoch and enough of its vaults count."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    if run.plan.forced:
        _refuse_new(run, epoch)
    bring(run, site)
    run.tell(site.name)
    turn_to = run.world.plane.force_turn if run.plan.forced else run.world.plane.await_turn
    turn_to(site, run.outputs(site.name), epoch)
    run.world.gate.go_on(run.outputs(site.name), run.written_under(epoch))
    return {"epoch": epoch.number, "vaults": list(epoch.vaults), "anchored": note(run, epoch)}


def _refuse_new(run: Run, epoch: EpochRecord) -> None:
    """Refused where the site did not write under the epoch before: then there is nothing on its host to go on with."""
    older = numbered(run.world.vaults, epoch.parent, run.world.signer.verify)
    if not any(continues(epoch, record) for record in older):
        raise Refused(
            f"{epoch.site} does not go on under epoch {epoch.number}: it begins there.",
            "A failover or an `up` to it may have stopped half-way.",
            f"Go on with `resilience failover`, or bring it back: `resilience up {epoch.site}`.",
        )


def fill(run: Run, step: Step) -> Facts:
    """Copy what new vaults lack of ledger, pictures and orders, as it is, from whichever vault has it."""
    new = [str(name) for name in step.args["vaults"]]
    epoch = run.newest()
    listed = each(run.world.vaults, lambda vault: frozenset(key for prefix in COPIES for key in vault.list(prefix)))
    told = {name: keys for name, keys in listed.items() if not isinstance(keys, ResilienceError)}
    if not told.keys() - (set(new) - _held_before(run, epoch)):
        raise TooFewVaults(
            "No vault says what it holds.", "The new ones would stay empty.", "Bring one back and run this again."
        )
    for answer in (listed[name] for name in new):
        if isinstance(answer, ResilienceError):
            raise answer
    _refuse_unlisted(run, {str(name): listed[str(name)] for name in step.args.get("ends", ())})
    done = level(run, epoch, new, told)
    for given in (given for name, given in orders.spread(run.world).items() if name in new):
        if isinstance(given, ResilienceError):
            raise given
    if not run.plan.forced_to_stay:  # others that had it may be gone: `protect` brings it from the host, and says so
        for name in new:
            filled.leave(run.world.vaults[name], epoch, run.world.signer.sign)
    unreadable = {name: pictures for name, (_, pictures) in done.items() if pictures}
    copied = {name: count for name, (count, _) in done.items()}
    return {"copied": copied, **({"unreadable": unreadable} if unreadable else {})}


def level(
    run: Run, epoch: EpochRecord, new: Iterable[str], told: Mapping[str, frozenset[str]]
) -> dict[str, tuple[int, list[str]]]:
    """Give each of these vaults what others list and it does not: how many objects, and pictures that no vault has as an age file."""
    apart = payload_only(run.fleet.locked, epoch.vaults, epoch.k)
    keepers = [run.world.vaults[name] for name in epoch.vaults if name in told and name not in apart]
    return {name: _fill(run, name, owed(name, told, apart), told, keepers) for name in new}


def _held_before(run: Run, epoch: EpochRecord) -> set[str]:
    """Vaults of the epoch before: what one of them lacks is headers alone, so it can give all else."""
    return {
        name for older in numbered(run.world.vaults, epoch.parent, run.world.signer.verify) for name in older.vaults
    }


def _refuse_unlisted(run: Run, ends: Mapping[str, object]) -> None:
    """A vault that ends may have something alone; one whose account is closed by now is not waited for."""
    for name, answer in ends.items():
        if isinstance(answer, ResilienceError) and not isinstance(answer, VendorClosed):
            raise VaultError(
                f"{name} does not say what it holds, and its vendor ends the account.",
                f"What it alone has goes with it. {answer.what}",
                "Run the same command again. Once the account is closed: "
                f"`resilience protect --lost {run.fleet.vault(name).vendor}`.",
            )


def _fill(
    run: Run, name: str, lacking: Owed, told: Mapping[str, frozenset[str]], keepers: Sequence[Vault]
) -> tuple[int, list[str]]:
    """How many objects one vault was given, and pictures that no vault has as an age file."""
    vault = run.world.vaults[name]

    def holders(key: str) -> list[Vault]:
        return [run.world.vaults[other] for other, keys in told.items() if key in keys]

    def copy(key: str) -> bool:
        return vault.put_new(key, _read(key, holders(key)))

    def payload(key: str) -> bool | None:
        kept = cut(layout.picture(key), holders(key))
        return None if kept is None else give(kept, vault, keepers)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        copied = sum(pool.map(copy, lacking.copies))
        given = dict(zip(lacking.whole, pool.map(payload, lacking.whole), strict=True))
    unreadable = [layout.picture(key) for key, new in given.items() if new is None]
    return copied + sum(map(bool, given.values())), unreadable


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
