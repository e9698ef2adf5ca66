"""Pictures and persons' keys: what rows name is in each vault of a set, also where those that had it are gone.

A vault that was left behind is owed them by others, and the site's host keeps them for it no more. Where the others are
lost, the host has them still: it ships them again, so many at a time that what waits for a vault stops no writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from resilience.engine.run import Facts, Run
from resilience.engine.steps.vaults import AT_ONCE, COPIES, level
from resilience.errors import ResilienceError, VaultError
from resilience.model import EpochRecord, Fleet, Site, SiteOutputs
from resilience.ports import Vault
from resilience.replication import filled, layout
from resilience.replication.apart import openable
from resilience.replication.epoch import each

BIGGEST_MB = 16
"""No picture that an app of ours takes is larger."""
PATIENCE_S = 300.0
"""So long a vault may take none of what it is given."""
POLL_S = 1.0


def give_all(run: Run, site: Site, epoch: EpochRecord) -> Facts:
    """Give each vault of this epoch that may be called all that rows name, and say so there; VaultError where one does not hold it.

    What neither host nor vault has can't be given: whoever looks at the site tells of it.
    """
    outputs = run.outputs(site.name)
    vaults = {name: run.world.vaults[name] for name in epoch.vaults if name in run.world.vaults}
    named = frozenset(run.world.plane.named(site, outputs))
    listed = _listed(vaults, _everything)
    copied = shipped = 0
    if _lacking(listed, named):
        copied = sum(count for count, _ in level(run, epoch, list(vaults), listed).values())
        owed, many = _owed(run, site, _lacking(_listed(vaults, _everything), named)), _at_a_time(run.fleet)
        shipped = sum(_ship_again(run, outputs, vaults, owed[n : n + many]) for n in range(0, len(owed), many))
    for vault in vaults.values():
        filled.leave(vault, epoch, run.world.signer.sign)
    return {"brought": {"copied": copied, "shipped_again": shipped}} if copied or shipped else {}


def _owed(run: Run, site: Site, lacking: set[str]) -> Sequence[str]:
    """Of these what the host can give, or any vault, and a row names still: an upload under way may have ended otherwise."""
    if not lacking:
        return ()
    outputs = run.outputs(site.name)
    had = lacking.difference(run.world.plane.nowhere(site, outputs))
    return sorted(run.world.app.still_named(outputs, sorted(had)))


def _at_a_time(fleet: Fleet) -> int:
    """With half of what may wait for a vault, also where all are large, ship leaves none behind and stops nobody."""
    return max(1, fleet.replication.backlog_mb // 2 // BIGGEST_MB)


def _ship_again(run: Run, outputs: SiteOutputs, vaults: Mapping[str, Vault], wanted: Sequence[str]) -> int:
    """Have the host ship these, and return how many once each vault holds them; what no row names any more is owed to none."""
    app, clock = run.world.app, run.world.clock
    handed_over = app.ship_again(outputs, wanted)
    left = frozenset(wanted) if handed_over == len(wanted) else app.still_named(outputs, wanted)
    until = clock.now() + PATIENCE_S
    while lacking := _lacking(_listed(vaults, partial(_parts, left)), left):
        if len(lacking) < len(left):
            left, until = frozenset(lacking), clock.now() + PATIENCE_S
        elif clock.now() >= until:
            raise VaultError(
                f"{len(left)} pictures or keys that rows name are not in each of {', '.join(vaults)}.",
                f"{outputs.site}'s host was told to ship them again, and for {PATIENCE_S:.0f} s none came: {min(left)} is one. Where "
                "the host is lost they are, too.",
                "The site serves. See `resilience status` for what keeps its ship from it; run the same command again, and it goes on.",
            )
        clock.sleep(POLL_S)
    return handed_over


def _listed(vaults: Mapping[str, Vault], ask: Callable[[Vault], Iterable[str]]) -> dict[str, frozenset[str]]:
    """By vault what it lists; the error of one that does not say."""
    answers = each(vaults, lambda vault: frozenset(ask(vault)))
    for answer in answers.values():
        if isinstance(answer, ResilienceError):
            raise answer
    return {name: keys for name, keys in answers.items() if not isinstance(keys, ResilienceError)}


def _everything(vault: Vault) -> Iterable[str]:
    return [key for prefix in COPIES for key in vault.list(prefix)]


def _parts(pictures: Iterable[str], vault: Vault) -> Iterable[str]:
    """All that a vault has of these, whole or apart."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return [key for keys in pool.map(vault.list, map(layout.media, sorted(pictures))) for key in keys]


def _lacking(listed: Mapping[str, frozenset[str]], named: frozenset[str]) -> set[str]:
    """Of these pictures those that some vault would not give back. Pure."""
    media = {name: {key for key in keys if key.startswith(layout.MEDIA)} for name, keys in listed.items()}
    headers = frozenset().union(*media.values())
    return {picture for keys in media.values() for picture in named - openable(keys, headers)}
