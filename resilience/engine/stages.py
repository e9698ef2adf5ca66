"""Stages: parts of a drill or rehearsal that are no step of a plan, journalled with their seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from resilience.model import Event, Fleet
from resilience.ports import World

Watch = Callable[[Event], None]


class Stages:
    """One journal's stages, and whoever watches them."""

    def __init__(self, world: World, watch: Watch) -> None:
        self._world, self._watch = world, watch

    def note(self, kind: str, **data: object) -> None:
        """Journal something that happened."""
        event = Event(self._world.clock.now(), kind, data)
        self._world.log.append(event)
        self._watch(event)

    @contextmanager
    def __call__(self, stage: str, **data: object) -> Iterator[None]:
        """Journal that a stage begins, and how long it took once it is done."""
        self.note("stage-started", stage=stage, **data)
        began = time.monotonic()
        yield
        self.note("stage-done", stage=stage, seconds=round(time.monotonic() - began, 3))


def declared_facts(fleet: Fleet) -> dict[str, Any]:
    """What a journal keeps of the fleet file, so that it can be judged without it."""
    return {
        "ttl_s": fleet.names.ttl_s,
        "promise": asdict(fleet.promise),
        "vendors": [v.name for v in fleet.vendors],
        "sites": {s.name: s.vendor for s in fleet.sites},
        "vaults": {v.name: v.vendor for v in fleet.vaults},
        "zones": [z.vendor for z in fleet.names.zones],
        "k": fleet.replication.k,
        "s": fleet.replication.s,
        "host": fleet.names.host,
    }
