"""Fleet + prices -> what it costs. Nothing is guessed: what has no price is a line without an amount."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from urllib.parse import urlsplit

from resilience.model import Fleet, Site, VaultSpec
from resilience.model.cost import Cost, CostLine, HostPrice, Prices, StoragePrice, Usage

SECONDS_A_MONTH = 30 * 86400
LOOKS_A_LEASE = 3
"""So often ship looks for a newer epoch while it has nothing to put; after each PUT once."""
OWN_EPOCH_S = 60
"""So often it looks whether its own is still there."""
GETS_A_CHUNK = 2.5
"""What a hot standby asks of each vault for one chunk: it, the next one that is not there yet, a newer epoch."""
GETS_IDLE = 3.5
"""What it asks a second while nothing is written."""


def cost(fleet: Fleet, prices: Prices, usage: Usage) -> Cost:
    """A month in which nothing happens, and once an evacuation to the next site."""
    return Cost(tuple(_month(fleet, prices, usage)), tuple(_evacuation(fleet, prices, usage)))


def _month(fleet: Fleet, prices: Prices, usage: Usage) -> Iterator[CostLine]:
    for site in fleet.sites:
        if site == fleet.primary or site.standby == "hot":
            yield _host(site, prices, f"host of {site.name}")
    for vault in fleet.vaults:
        price = _storage(vault, prices)
        if price is None or usage.stored_gb > (price.up_to_gb or usage.stored_gb):
            yield CostLine(f"vault {vault.name} ({vault.endpoint})", None)
            continue
        held = price.base_month + usage.stored_gb * price.gb_month
        yield _line(f"vault {vault.name}: {usage.stored_gb:g} GB kept", held, price)
        if vault.copies_only:
            continue
        puts, gets = _asked(fleet, usage.busy)
        yield _line(f"vault {vault.name}: {puts:,.0f} PUTs of WAL", puts / 1000 * price.puts_1000, price)
        yield _line(f"vault {vault.name}: {gets:,.0f} GETs", gets / 1000 * price.gets_1000, price)


def _asked(fleet: Fleet, busy: float) -> tuple[float, float]:
    """PUTs and GETs a month at one vault: of ship, and of each standby that follows."""
    standbys = sum(site.standby == "hot" for site in fleet.sites if site != fleet.primary)
    puts = busy * SECONDS_A_MONTH * 1000 / fleet.replication.spacing_ms
    idle = (1 - busy) * SECONDS_A_MONTH
    by_ship = puts + idle * LOOKS_A_LEASE / fleet.replication.lease_s + SECONDS_A_MONTH / OWN_EPOCH_S
    return puts, by_ship + standbys * (puts * GETS_A_CHUNK + idle * GETS_IDLE)


def _evacuation(fleet: Fleet, prices: Prices, usage: Usage) -> Iterator[CostLine]:
    target = next((site for site in fleet.sites if site != fleet.primary), None)
    if target is not None and target.standby == "cold":
        yield _host(target, prices, f"host of {target.name}, its first month")
    read: list[CostLine] = []
    for vault in fleet.vaults:
        price = _storage(vault, prices)
        what = f"everything read once from {vault.name}"
        read.append(_line(what, usage.stored_gb * price.egress_gb, price) if price else CostLine(what, None))
    known = [line for line in read if line.amount is not None]
    yield from [line for line in read if line.amount is None]
    if known:
        yield max(known, key=lambda line: line.amount or 0.0)


def read_once(vault: VaultSpec, prices: Prices, gb: float) -> tuple[float, StoragePrice] | None:
    """What reading so much from a vault costs; None where no price is known, or none for so much."""
    price = _storage(vault, prices)
    return None if price is None or gb > (price.up_to_gb or gb) else (gb * price.egress_gb, price)


def _host(site: Site, prices: Prices, what: str) -> CostLine:
    if site.stack == "baremetal":
        return CostLine(f"{what} (your own)", None)
    price = _fitting(site, prices)
    if price is None:
        return CostLine(f"{what} ({site.stack}, {site.type or site.size})", None)
    return CostLine(f"{what}: {price.type}", price.month, price.currency, price.source, price.day)


def _fitting(site: Site, prices: Prices) -> HostPrice | None:
    """The vendor's own type where one is given, else the first that is large enough; OpenStack's are each vendor's own."""
    wanted = site.machine
    if site.stack == "openstack" and not site.type:
        return None
    for price in prices.hosts:
        fits = price.cpu >= wanted.cpu and price.memory_gb >= wanted.memory_gb
        if price.stack == site.stack and (price.type == site.type if site.type else fits):
            return price
    return None


def _storage(vault: VaultSpec, prices: Prices) -> StoragePrice | None:
    host = urlsplit(vault.endpoint).hostname or ""
    return next((price for price in prices.storage if fnmatch(host, price.endpoint)), None)


def _line(what: str, amount: float, price: StoragePrice) -> CostLine:
    return CostLine(what, round(amount, 2), price.currency, price.source, price.day)
