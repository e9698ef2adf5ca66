"""Verifying and pruning in the in-memory World: what was proven is journalled, and only that gives way to nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from resilience.engine.observe import observe
from resilience.engine.prune import DAY, prune
from resilience.engine.verify import verify
from resilience.errors import BrokenChain, ResilienceError
from resilience.model import Site, SiteOutputs
from tests.sim.stage import day_one


@dataclass
class Plane:
    """A data plane of which only verifying and pruning are asked."""

    found: dict[str, dict[str, Any] | BrokenChain]
    asked: list[tuple[Any, ...]]
    ship: dict[str, Any] | None = None

    def verify(self, vault: str, at: str | None) -> dict[str, Any]:
        """What was prepared for this vault."""
        self.asked.append((vault, at))
        found = self.found[vault]
        if isinstance(found, BrokenChain):
            raise found
        return found

    def status(self, site: Site, outputs: SiteOutputs) -> dict[str, Any]:
        """What ship says that the vaults acknowledged."""
        if self.ship is None:
            raise ResilienceError("acorn does not answer.", "It is gone.", "Look.")
        return self.ship

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


def test_each_goes_up_to_what_it_acknowledged() -> None:
    """Ship says what each vault took: never past what k hold, less where one is behind; only equal ends must agree."""
    stage = day_one()
    lags = {"birch": "0/30", "cedar": "0/20", "elm": "0/8"}
    ship = {"epoch": 1, "confirmed_lsn": "0/20", "vaults": {name: {"lsn": at} for name, at in lags.items()}}
    behind = {**good("e1", "less"), "end_lsn": "0/8"}
    plane = Plane({"birch": good("b1"), "cedar": good("c1"), "elm": behind}, [], ship)
    found = verify(replace(stage.world, plane=plane), stage.fleet)  # type: ignore[arg-type]
    assert plane.asked == [("birch", "0/20"), ("cedar", "0/20"), ("elm", "0/8")]
    assert all(facts["ok"] for facts in found.values())
    assert [facts["acknowledged"] for facts in found.values()] == ["0/20", "0/20", "0/8"]
    plane.ship = {**ship, "epoch": 7}
    assert verify(replace(stage.world, plane=plane), stage.fleet)["elm"]["acknowledged"] is None  # type: ignore[arg-type]


def test_what_was_proven_is_believed_elsewhere_and_no_vaults_word_is() -> None:
    """Another machine's journal is empty: it believes what the operator signed, in any vault, and nothing else there."""
    stage = day_one()
    plane = Plane({name: good(name) for name in ("birch", "cedar", "elm")}, [])
    verify(replace(stage.world, plane=plane), stage.fleet, ("birch",))  # type: ignore[arg-type]
    elsewhere = stage.other_operator().world
    seen = observe(elsewhere, stage.fleet).vaults
    assert seen["birch"].verified is not None
    assert seen["elm"].verified is None
    true = stage.state.vaults["cedar"].objects
    key = next(key for key in true if key.startswith("verified/birch/"))
    claimed = json.dumps({**json.loads(true[key]), "vault": "elm"}).encode()
    for name in ("birch", "cedar", "elm"):
        stage.state.vaults[name].objects["verified/elm/999999999999999.json"] = claimed
        stage.state.vaults[name].objects["verified/birch/999999999999999.json"] = b"junk"
    seen = observe(elsewhere, stage.fleet).vaults
    assert seen["elm"].verified is None
    assert seen["birch"].verified is None, "junk hides it here; this machine's own journal still knows"
    assert observe(stage.world, stage.fleet).vaults["birch"].verified is not None


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
