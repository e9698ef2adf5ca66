"""What an evacuation measures first, in the in-memory World."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from resilience.engine.measure import Moving, measure
from resilience.errors import ResilienceError
from resilience.model import Notice
from tests.sim.stage import day_one


class Earlier:
    """A data plane of an earlier version: its hosts do not say what their pictures take."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def status(self, site: Any, outputs: Any) -> Mapping[str, Any]:
        """All but that."""
        return {name: value for name, value in self.inner.status(site, outputs).items() if name != "media_bytes"}


def test_what_pictures_take_is_never_guessed() -> None:
    """Told, it is what there is to move; where the host does not tell, the operator is told how it will."""
    stage = day_one()
    notice = Notice("acorn", "n1", "It ends", "abuse@acorn.example", None, 0.0, 1e12, (), "")
    moving = Moving(notice, "acorn", "birch")
    loads = {load.what: load.bytes for load in measure(stage.world, stage.fleet, moving, 5).loads}
    assert loads["old media"] + loads["recent media"] == 50_000 * len(stage.state.hosts["acorn"].pictures) > 0
    world = replace(stage.world, plane=Earlier(stage.world.plane))  # type: ignore[arg-type]
    with pytest.raises(ResilienceError, match="acorn does not say what its pictures take") as told:
        measure(world, stage.fleet, moving, 5)
    assert "resilience up acorn" in told.value.next
