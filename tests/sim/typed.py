"""The command line over the World in memory, as a person types at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resilience.cli import context
from resilience.ports import World
from resilience.simulation import SimulatedUsers
from resilience.wire import Home
from tests.sim.stage import Stage


def typing_at(stage: Stage, world: World, patched: pytest.MonkeyPatch, folder: Path) -> None:
    """Whatever is typed from here on acts on this stage, in this folder."""

    @contextmanager
    def simulated(*_: object) -> Iterator[object]:
        yield world, SimulatedUsers(stage.state, stage.fleet)

    patched.setattr(context, "real_world", simulated)
    patched.setattr(Home, "load", lambda _home: stage.fleet)
    patched.chdir(folder)
