"""What an evacuation measures first, in the in-memory World."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from resilience.engine.measure import Moving, measure
from resilience.errors import ResilienceError
from resilience.model import Notice
from tests.sim.plans import stood_by, with_a_standby
from tests.sim.stage import Stage, day_one


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


class Standby:
    """The data plane whose standby says something else of itself."""

    def __init__(self, inner: Any, **words: Any) -> None:
        self.inner, self.words = inner, words

    def status(self, site: Any, outputs: Any) -> Mapping[str, Any]:
        """With these words, where it is birch's."""
        return {**self.inner.status(site, outputs), **(self.words if site.name == "birch" else {})}


def left(stage: Stage, **words: Any) -> dict[str, int]:
    """What is still to come to birch, as this stage is and birch speaks, after every vault took all there is."""
    stage.state.pass_time(1.0)
    world = replace(stage.world, plane=Standby(stage.world.plane, **words))  # type: ignore[arg-type]
    notice = Notice("acorn", "n1", "It ends", "abuse@acorn.example", None, 0.0, 1e12, (), "")
    loads = measure(world, stage.fleet, Moving(notice, "acorn", "birch"), 5).loads
    return {load.what: load.left for load in loads if load.left}


def test_a_standby_that_follows_has_what_it_says() -> None:
    """Nothing is left to copy; until it has looked at all rows, each picture may be."""
    assert left(stood_by()) == {}
    assert left(stood_by(), pictures_lacking=None).keys() == {"recent media", "old media"} & left(day_one()).keys()


def silent(stage: Stage) -> Stage:
    """Birch's host is gone."""
    stage.state.hosts["birch"].alive = False
    return stage


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (lambda: with_a_standby(day_one()), {}),
        (lambda: silent(stood_by()), {}),
        (stood_by, {"role": "primary"}),
        (stood_by, {"age_s": 600.0}),
        (stood_by, {"lag_seconds": None}),
    ],
    ids=["never made", "does not answer", "not a standby", "silent", "does not say how far"],
)
def test_a_site_that_is_declared_hot_and_does_not_follow_has_nothing(
    stage: Callable[[], Stage], words: dict[str, Any]
) -> None:
    """It is gone to as a cold one: all there is is still to come."""
    assert left(stage(), **words) == left(day_one())
    assert left(day_one()).keys() >= {"database", "ledger", "keys"}
