"""What sites mean: stacks that exist, what each needs, addresses that do not overlap, SSH from operators only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import combinations

from resilience.config.lines import Loc
from resilience.config.schema import FleetFile, SiteTable
from resilience.model import CLOUDS, STACKS

Finding = tuple[Loc, str, str]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WIDEST = {4: 8, 6: 16}
"""No operator comes from more addresses than that: `0.0.0.0/0` in halves is the world, too."""


def site_findings(f: FleetFile) -> Iterator[Finding]:
    """What is wrong with sites and with what reaches them."""
    for i, site in enumerate(f.site):
        yield from _stack(i, site)
    yield from _operators(f)
    yield from _overlaps(f)


def address_findings(loc: Loc, given: Sequence[str]) -> Iterator[Finding]:
    """Texts that should be addresses or networks, and are not."""
    for address in given:
        if within := _around(address):
            hint = f"Write {within} for the whole network, or {address.partition('/')[0]} for that address alone."
            yield loc, f'"{address}" is an address within a network: its host bits are set', hint
        elif _network(address) is None:
            yield loc, f'"{address}" is not an address or network', "Write it like 192.0.2.10."


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _around(text: str) -> Network | None:
    """The network that an address with a length lies in; None for a network, and for what is neither."""
    try:
        within = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return within if _network(text) is None else None


def _stack(i: int, site: SiteTable) -> Iterator[Finding]:
    if site.stack not in STACKS:
        hint = f"Known: {', '.join(STACKS)}."
        yield ("site", i, "stack"), f'no stack is called "{site.stack}"', hint
    if site.stack == "baremetal" and not site.addresses:
        hint = 'Add addresses = ["…"]: hosts that are simply there.'
        yield ("site", i), "a bare-metal site has no addresses", hint
    if site.stack in CLOUDS and not site.region:
        hint = f'Add region = "…", in {site.stack}\'s own words.'
        yield ("site", i), f"a site at {site.stack} has no region", hint
    if site.stack in CLOUDS and site.addresses:
        hint = "Remove them: the stack exports the addresses it was given. `network` is the site's own network."
        yield ("site", i, "addresses"), f"{site.stack} gives its hosts their addresses itself", hint
    if site.disk is not None and site.stack not in {"openstack", "baremetal"}:
        hint = "Remove it. AWS and Google encrypt every disk; Elsewhere `disk_key = true` encrypts what is ours."
        yield ("site", i, "disk"), f"{site.stack} has no kinds of disk to choose from", hint
    if site.disk_key and site.stack in {"lab", "local"}:
        hint = "Remove it: those hosts share this machine's kernel, and their file system can't encrypt."
        yield ("site", i, "disk_key"), f"a host of {site.stack} has no disk of its own", hint
    if site.network is not None:
        yield from _private(("site", i, "network"), site.network)


def _private(loc: Loc, text: str) -> Iterator[Finding]:
    network = _network(text)
    if network is None:
        yield loc, f'"{text}" is not a network', "Write it like 10.20.0.0/24."
    elif network.version != 4 or not network.is_private or not 16 <= network.prefixlen <= 28:  # noqa: PLR2004
        yield loc, f'"{text}" is no private network of /16 to /28', "Write it like 10.20.0.0/24."


def _operators(f: FleetFile) -> Iterator[Finding]:
    loc: Loc = ("fleet", "operators")
    yield from address_findings(loc, f.fleet.operators)
    for text in f.fleet.operators:
        network = _network(text)
        if network is not None and network.prefixlen < WIDEST[network.version]:
            yield loc, f'"{text}" would let the world try SSH', "Name the operators' own addresses."
    cloud = next((site.name for site in f.site if site.stack in CLOUDS), None)
    if cloud and not f.fleet.operators:
        hint = 'Add operators = ["…"] to [fleet]: the addresses you come from.'
        yield loc, f"nobody may reach {cloud} by SSH, so it could never be set up", hint


def _overlaps(f: FleetFile) -> Iterator[Finding]:
    """Two sites with one address are one host; two vendors with one network can't be told apart."""
    claims: list[tuple[Loc, str, Network]] = []
    for i, site in enumerate(f.site):
        given = [("addresses", text) for text in site.addresses] + [("network", site.network or "")]
        claims += [(("site", i, key), site.name, net) for key, text in given if (net := _network(text))]
    yield from _shared(claims, "Every site has addresses of its own.")
    vendors = [
        (("vendor", i, "addresses"), vendor.name, net)
        for i, vendor in enumerate(f.vendor)
        for text in vendor.addresses
        if (net := _network(text))
    ]
    yield from _shared(vendors, "What belongs to a dead vendor must be told from what does not: narrow one of them.")


def _shared(claims: Sequence[tuple[Loc, str, Network]], hint: str) -> Iterator[Finding]:
    for (_, first, one), (loc, second, other) in combinations(claims, 2):
        if one.version == other.version and one.overlaps(other):
            who = f"{first} has" if first != second else "the same one has"
            yield loc, f"{other} overlaps {one}, which {who} already", hint
