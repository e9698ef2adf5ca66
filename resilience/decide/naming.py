"""How users are led to a site: by the DNS vendors that are left, else by nobody until a delegation is changed."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.model import Fleet, Phase, Stage, Step, lane


def naming(
    fleet: Fleet, site: str, lost: frozenset[str], stage: Stage, before: tuple[Step, ...] = ()
) -> Iterator[Step]:
    """Point the name, see to the delegation, and see users get through as far as the site is opened.

    `before` that there may be something to wait for, once the name leads to the site.
    """
    left = [zone for zone in fleet.names.zones if zone.vendor not in lost]
    gone = [zone for zone in fleet.names.zones if zone.vendor in lost]
    args = {
        "remove": [server for zone in gone for server in zone.nameservers],
        "keep": [server for zone in left for server in zone.nameservers],
    }
    host, registrar = fleet.names.host, fleet.names.registrar
    for zone in left:
        reason = f"Users find {site} through {zone.vendor}."
        yield Step(f"{Phase.NAME}.point.{zone.vendor}", "point", zone.vendor, Phase.NAME, reason, {"site": site})
    if not left:
        reason = (
            f"No DNS vendor of {host} is left: {site} serves by its address, and it says what a person changes where."
        )
        more = {**args, "registrar": registrar, "stage": str(stage)}
        yield Step(f"{Phase.NAME}.by-address.{site}", "by-address", site, Phase.NAME, reason, more)
        return
    waits = all(zone.spare for zone in left)
    if waits or (registrar and gone):
        where = registrar or "registrar"
        reason = f"{host} is delegated to a name server that is left; else it says what to change at {where}."
        yield Step(f"{Phase.NAME}.delegate.{where}", "delegate", where, Phase.NAME, reason, args)
    yield from lane(before, "then")
    walk = "A user's journey" if stage.covers(Stage.WRITES) else "Reading"
    reason = f"{walk} by {host} succeeds."
    when = {"then": True} if waits or before else {"beside": True}
    yield Step(f"{Phase.NAME}.confirm.{site}", "confirm", site, Phase.NAME, reason, {"stage": str(stage), **when})
