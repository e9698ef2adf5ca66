"""The command line over the World in memory, as a person types at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.cli import context
from resilience.errors import UsageError
from resilience.model.fleet import Durability
from resilience.ports import World
from resilience.simulation import SimulatedUsers
from resilience.wire import Home
from tests.sim.plans import Swept
from tests.sim.stage import Operator, Stage


def typing_at(stage: Stage, world: World, patched: pytest.MonkeyPatch, folder: Path) -> None:
    """Whatever is typed from here on acts on this stage, in this folder."""

    @contextmanager
    def simulated(*_: object) -> Iterator[object]:
        yield world, SimulatedUsers(stage.state, stage.fleet)

    patched.setattr(context, "real_world", simulated)
    patched.setattr(Home, "load", lambda _home: stage.fleet)
    patched.chdir(folder)


@dataclass
class Typed:
    """One command line: a person reads its plan, and types it with the digest and all hazards, as often as it stops."""

    line: str
    patched: pytest.MonkeyPatch
    folder: Path
    approved: tuple[str, ...] = ()

    def swept(self, like: Swept) -> Swept:
        """The command of a sweep, typed."""

        def begin(durability: Durability) -> Stage:
            stage = like.begin(durability)
            self.read(stage)
            return stage

        return replace(like, begin=begin, command=self.type)

    def read(self, stage: Stage) -> None:
        """Typed without a digest, it shows the plan."""
        typing_at(stage, stage.operator.world, self.patched, self.folder)
        shown = CliRunner().invoke(cli.app, self.line.split())
        assert isinstance(shown.exception, UsageError), shown.exception
        hazards = re.findall(r"with --accept ([a-z-]+)", " ".join(shown.output.split()))
        self.approved = ("--digest", shown.exception.next.split()[-1], *(f"--accept={name}" for name in hazards))

    def type(self, operator: Operator, *more: str) -> None:
        """Typed with what was read; whatever it ended with is raised."""
        typing_at(operator.stage, operator.world, self.patched, self.folder)
        said = CliRunner().invoke(cli.app, [*self.line.split(), *self.approved, *more])
        if said.exception is not None:
            raise said.exception
