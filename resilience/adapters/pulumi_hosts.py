"""Hosts that a stack's state holds: an `up` whose preview would end one of them is refused, since its database would go with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from resilience.errors import Refused
from resilience.model import Site

if TYPE_CHECKING:
    import pulumi.automation as auto
    from pulumi.automation.events import EngineEvent

HOSTS = frozenset({"Host", "Server", "Instance"})
"""What the stacks' vendors call a host; its disk is part of it everywhere."""
ENDS = frozenset({"replace", "delete", "create-replacement", "delete-replaced"})


def holds_host(resources: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is a host already; where none is, nothing has to be looked at first."""
    return any(_is_host(str(one["type"])) for one in resources)


def refuse_to_end_hosts(stack: auto.Stack, site: Site, parallel: int) -> None:
    """Refused where an `up` would remove a host, or make one anew: Pulumi does either without asking."""
    ended: dict[str, set[str]] = {}

    def note(event: EngineEvent) -> None:
        step = event.resource_pre_event.metadata if event.resource_pre_event else None
        if step and step.op.value in ENDS and _is_host(step.type):
            ended.setdefault(step.urn.rpartition("::")[2], set()).update(step.keys or ())

    stack.preview(color="never", suppress_outputs=True, parallel=parallel, on_event=note)
    if ended:
        raise _would_end(site, ended)


def _is_host(kind: str) -> bool:
    return kind.rpartition(":")[2] in HOSTS


def _would_end(site: Site, ended: Mapping[str, set[str]]) -> Refused:
    names = ", ".join(sorted(ended))
    keys = ", ".join(sorted(set().union(*ended.values())))
    over = f", since this is another than it was made with: {keys}" if keys else ", since nothing asks for it any more"
    return Refused(
        f"{site.name}: {site.vendor} would remove the host {names} with its disk{over}.",
        "What may be the site's database would go with it. Nothing was changed.",
        f"Put back in the fleet file what was changed of {site.name}. To have it changed, let another site serve "
        f"(`resilience switchover`), then `resilience down {site.name}` and `resilience up {site.name}`.",
    )
