"""The arithmetic of a full restore: how long it takes at the rate that vaults give, and what reading it once costs."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.cost import read_once
from resilience.decide.quorum import newest_epoch
from resilience.model import Fleet, Survey, Unknown
from resilience.model.cost import Prices
from resilience.model.finding import Finding, Seen

GB = 1e9


def restoring(fleet: Fleet, survey: Survey, seen: Seen, prices: Prices) -> Iterator[Finding]:
    """A line for the time, and one a vault for the money; unknown where the size or the rate is."""
    size = _bytes(survey)
    if size is None:
        said = "how much a restore would have to bring is not known: no primary tells its size"
        yield Finding("restore", fleet.name, "unknown", said, "Run `resilience status`, and the check again.")
        return
    rate = max((rate for rate in seen.rates.values() if rate), default=None)
    if rate is not None or not fleet.lab:
        yield _time(fleet, size, rate)
    for vault in () if fleet.lab else fleet.vaults:
        cost = read_once(vault, prices, size / GB)
        if cost is None:
            said = f"what reading {size / GB:.3g} GB once from it costs is not known"
            yield Finding("egress", vault.name, "unknown", said, "See its vendor's price page.")
        else:
            amount, price = cost
            said = f"reading {size / GB:.3g} GB once costs {amount:.2f} {price.currency} ({price.source}, {price.day})"
            yield Finding("egress", vault.name, "pass", said)


def _bytes(survey: Survey) -> int | None:
    """Database and pictures, as the primary tells; one with an earlier version of ours does not tell the latter."""
    epoch = newest_epoch(survey)
    site = survey.sites.get(epoch.site) if epoch else None
    if site is None or isinstance(site.ship, Unknown) or not site.ship.keys() >= {"db_bytes", "media_bytes"}:
        return None
    return int(site.ship["db_bytes"]) + int(site.ship["media_bytes"])


def _time(fleet: Fleet, size: int, rate: float | None) -> Finding:
    if rate is None:
        return Finding("restore", fleet.name, "unknown", "no vault gave anything to measure by", "Check again later.")
    takes = size / rate
    said = f"{size / GB:.3g} GB at {rate * 8 / 1e6:.0f} Mbit/s to this machine take {takes:.0f} s"
    if takes > fleet.promise.rto_s:
        advice = (
            "Declare a hot standby: it has the data already; or promise more time. The target's own line may differ."
        )
        return Finding("restore", fleet.name, "warn", f"{said}; {fleet.promise.rto_s:g} s are promised", advice)
    return Finding("restore", fleet.name, "pass", said)
