"""How users are led to a site: by the DNS vendors that are left, else by nobody until a delegation is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resilience.model import Fleet, Phase, Stage, Step, ZoneSpec, lane


def pointing(zones: Iterable[ZoneSpec], site: str) -> Iterator[Step]:
    """Point the name at each of these, side by side: a vendor that fails keeps no other waiting."""
    beside: dict[str, bool] = {}
    for zone in zones:
        reason, args = f"Users find {site} through {zone.vendor}.", {"site": site, **beside}
        yield Step(f"{Phase.NAME}.point.{zone.vendor}", "point", zone.vendor, Phase.NAME, reason, args)
        beside = {"beside": True}


def naming(
    fleet: Fleet, site: str, lost: frozenset[str], stage: Stage, before: tuple[Step, ...] = ()
) -> Iterator[Step]:
    """Point the name, see to the delegation, and see users get through as far as the site is opened.

    `before` that there may be something to wait for, once the name leads to the site. All goes on beside the vendors that
    are asked, and also where one of them fails: the others lead users there.
    """
    left = [zone for zone in fleet.names.zones if zone.vendor not in lost]
    gone = [zone for zone in fleet.names.zones if zone.vendor in lost]
    args = {
        "remove": [server for zone in gone for server in zone.nameservers],
        "keep": [server for zone in left for server in zone.nameservers],
    }
    host, registrar = fleet.names.host, fleet.names.registrar
    yield from pointing(left, site)
    if not left:
        reason = (
            f"No DNS vendor of {host} is left: {site} serves by its address, and it says what a person changes where."
        )
        more = {**args, "registrar": registrar, "stage": str(stage)}
        yield Step(f"{Phase.NAME}.by-address.{site}", "by-address", site, Phase.NAME, reason, more)
        return
    waits, asks = all(zone.spare for zone in left), bool(registrar and gone)
    if waits or asks:
        where = registrar or "registrar"
        reason = f"{host} is delegated to a name server that is left; else it says what to change at {where}."
        asked = {**args, "beside": True}
        yield Step(f"{Phase.NAME}.delegate.{where}", "delegate", where, Phase.NAME, reason, asked)
    yield from lane(before, "then" if waits or asks else "beside")
    walk = "A user's journey" if stage.covers(Stage.WRITES) else "Reading"
    reason = f"{walk} by {host} succeeds."
    when = {"then": True} if waits or before else {"beside": True}
    yield Step(f"{Phase.NAME}.confirm.{site}", "confirm", site, Phase.NAME, reason, {"stage": str(stage), **when})
