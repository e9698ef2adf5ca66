"""Looks at what a failover would lean on, all at once; what does not answer is Unknown, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from resilience.engine.measure import read_rate
from resilience.engine.observe import read
from resilience.engine.probe import probe, probe_mirror
from resilience.errors import ResilienceError
from resilience.model import CLOUDS, Event, Fleet, Site, Unknown, known
from resilience.model.finding import Seen
from resilience.model.probe import Trial
from resilience.ports import Log, Vault, World

SAME = ("arch", "postgres", "collation")
"""What must be the same wherever a physical copy is started."""


QUOTA, DAY = "quota", 86_400.0
TELLING = 1_000_000
"""Bytes below which a rate tells how long requests take, not how much comes through."""


@dataclass(frozen=True)
class Doors:
    """What a check opens beside the World: every principal's own way into a vault, and this machine."""

    principals: Mapping[str, Mapping[str, Vault]]
    skew_s: Callable[[str], float]
    lacking: tuple[str, ...]
    plugins: Mapping[str, bool]
    vendor: Callable[[Site], tuple[Trial, ...]]
    """Asks a site's vendor for what the site needs."""


def look(doors: Doors, fleet: Fleet, world: World) -> Seen:
    """One look at everything, in parallel: about twenty small requests a vault, once."""
    places = {vault.name: vault.endpoint for vault in fleet.sealing}
    mirrors = {vault.name for vault in fleet.mirrors}
    principals = {name: doors_ for name, doors_ in doors.principals.items() if name not in mirrors}
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="preflight") as pool:
        probes = {
            n: pool.submit(read, lambda n=n, p=p: (probe_mirror if n in mirrors else probe)(n, p))
            for n, p in doors.principals.items()
        }
        skews = {n: pool.submit(read, lambda u=url: doors.skew_s(u)) for n, url in places.items()}
        versions = {n: pool.submit(read, lambda p=p: _versions(p["operator"])) for n, p in principals.items()}
        hosts = {s.name: pool.submit(read, lambda s=s: _host(world, s)) for s in fleet.sites}
        vendors = {s.name: pool.submit(read, lambda s=s: doors.vendor(s)) for s in fleet.sites if s.stack in CLOUDS}
        rates = {
            n: pool.submit(read, lambda p=p: read_rate(world.clock, p["reader"], TELLING))
            for n, p in principals.items()
        }
        return Seen(
            vendors={name: future.result() for name, future in vendors.items()},
            rates={name: known(future.result()) for name, future in rates.items()},
            probes={name: future.result() for name, future in probes.items()},
            lacking=doors.lacking,
            plugins=doors.plugins,
            skew_s={name: future.result() for name, future in skews.items()},
            versions={name: future.result() for name, future in versions.items()},
            hosts={name: future.result() for name, future in hosts.items()},
        )


def remembered(log: Log, now: float, seen: Seen) -> Seen:
    """The same, and each quota says since when it left room, as far as this journal knows; a young one may be lowered."""
    before = [event.data["seen"] for event in log.read() if event.kind == "quotas"]
    moments = [event.when for event in log.read() if event.kind == "quotas"]
    asked = {site: trials for site, trials in seen.vendors.items() if not isinstance(trials, Unknown)}
    now_seen = {site: {t.name: t.outcome for t in trials if t.name.startswith(QUOTA)} for site, trials in asked.items()}
    if any(now_seen.values()):
        log.append(Event(now, "quotas", {"seen": now_seen}))

    def since(site: str, trial: Trial) -> Trial:
        began = now
        for at, then in zip(reversed(moments), reversed(before), strict=True):
            if then.get(site, {}).get(trial.name) != "pass":
                break
            began = at
        return replace(trial, said=f"{trial.said}; so for {(now - began) / DAY:.0f} days, as far as this machine asked")

    def told(site: str, trial: Trial) -> Trial:
        return since(site, trial) if trial.name.startswith(QUOTA) and trial.outcome == "pass" else trial

    vendors = {site: tuple(told(site, trial) for trial in trials) for site, trials in asked.items()}
    return replace(seen, vendors={**seen.vendors, **vendors})


def _host(world: World, site: Site) -> Mapping[str, str] | None:
    """Of what kind the site's host is, as it says itself; None where none was made."""
    outputs = world.clouds[site.name].outputs(site)
    return None if outputs is None else world.plane.versions(site, outputs)


def _versions(vault: Vault) -> Mapping[str, str]:
    """What the newest label in a vault says of the machine that made it."""
    newest = max(vault.list("label/"), default=None)
    data = vault.get(newest) if newest else None
    if data is None:
        raise ResilienceError("no snapshot is there yet", "No label is in the vault.", "Run `resilience up`.")
    try:
        told = json.loads(data)["versions"]
        return {name: str(told[name]) for name in SAME if name in told}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ResilienceError("its newest label can't be read", str(error), "Run `resilience status`.") from error
