"""Verifying and pruning in the in-memory World: what was proven is journalled, and only that gives way to nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from resilience.engine.observe import observe
from resilience.engine.prune import DAY, prune
from resilience.engine.verify import verify
from resilience.errors import BrokenChain
from tests.sim.stage import day_one


@dataclass
class Plane:
    """A data plane of which only verifying and pruning are asked."""

    found: dict[str, dict[str, Any] | BrokenChain]
    asked: list[tuple[Any, ...]]

    def verify(self, vault: str, at: str | None) -> dict[str, Any]:
        """What was prepared for this vault."""
        self.asked.append((vault, at))
        found = self.found[vault]
        if isinstance(found, BrokenChain):
            raise found
        return found

    def prune(self, vault: str, snapshot: str, *, really: bool) -> dict[str, Any]:
        """Remember what was asked."""
        self.asked.append((vault, snapshot, really))
        return {"vault": vault, "snapshots": 1, "chunks": 2, "removed": really}


def good(snapshot: str, digest: str = "d") -> dict[str, Any]:
    """A vault that gives everything back."""
    return {"ok": True, "snapshot": snapshot, "end_lsn": "0/5", "rows": 3, "digest": digest, "pictures": 1}


def test_every_vault_is_proven_by_itself() -> None:
    """All go up to where the first ended; one that is broken or differs is told, and only the others count as verified."""
    stage = day_one()
    hole = BrokenChain("WAL from 0/3 to 0/4", "0/3", "Bring it back.")
    plane = Plane({"birch": good("b1"), "cedar": hole, "elm": good("e1", "other")}, [])
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    found = verify(world, stage.fleet)
    assert [found[vault]["ok"] for vault in ("birch", "cedar", "elm")] == [True, False, False]
    assert "rows are not those of birch" in found["elm"]["what"]
    assert plane.asked == [("birch", None), ("cedar", "0/5"), ("elm", "0/5")]
    seen = observe(stage.world, stage.fleet).vaults
    assert seen["birch"].verified is not None
    assert seen["cedar"].verified is None
    assert seen["elm"].verified is None


def test_the_simulated_plane_verifies_too() -> None:
    """A vault that lost its snapshots is not whole."""
    stage = day_one()
    stage.state.vaults["elm"].snapshots.clear()
    found = verify(stage.world, stage.fleet)
    assert [name for name, facts in found.items() if not facts["ok"]] == ["elm"]


def test_nothing_gives_way_to_what_was_not_proven_long_ago() -> None:
    """The newest snapshot verified before the kept days is the base; a failed or a recent one never is."""
    stage = day_one()
    plane = Plane({"birch": good("old"), "cedar": good("c1"), "elm": good("e1")}, [])
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    verify(world, stage.fleet, ("birch",))
    assert prune(world, stage.fleet, really=True) == {}
    stage.state.ms += round(stage.fleet.replication.keep_days * DAY * 1000) + 1000
    plane.found["birch"] = good("new")
    verify(world, stage.fleet, ("birch",))
    plane.asked.clear()
    prune(world, stage.fleet, really=False)
    assert plane.asked == [("birch", "old", False)]
