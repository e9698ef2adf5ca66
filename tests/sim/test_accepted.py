"""What was accepted as lost: a picture that was still being uploaded."""

from __future__ import annotations

import pytest

from resilience.engine.drill import Drill
from resilience.judge import judge
from resilience.model import Stage
from resilience.model.fleet import Durability
from tests.sim.drills import as_if_real, run
from tests.sim.stage import Stage as Theatre
from tests.sim.stage import day_one


def uploading(durability: Durability) -> Theatre:
    """Acorn's vendor left while a picture was still being uploaded whose row was acknowledged and is in the vaults."""
    theatre = day_one(durability)
    theatre.state.moderators = 1
    row = theatre.post_slowly("acorn")
    assert row in theatre.state.acknowledged
    assert all(row in held.chain(1).rows and row not in held.pictures for held in theatre.state.vaults.values())
    theatre.state.lose("acorn")
    return theatre


def gate(theatre: Theatre, site: str = "birch") -> Stage:
    """How far it is open."""
    return theatre.state.hosts[site].stage


def test_a_picture_that_was_being_uploaded_keeps_no_quorum_fleet_from_coming_back() -> None:
    """The plan says that it may be lost; accepted, the site opens and the name moves, and the picture is counted."""
    theatre = uploading("quorum")
    theatre.operator.failover()
    assert gate(theatre) == Stage.SIGN_UPS
    assert theatre.state.zones["dover"] == theatre.state.outputs["birch"].addresses
    plan = next(e.data["plan"] for e in reversed(theatre.world.log.read()) if e.kind == "plan")
    assert "loses-pictures" in {hazard["name"] for hazard in plan["hazards"]}
    (missing,) = {e.data["missing"] for e in theatre.world.log.read() if e.kind == "media-checked"}
    assert missing == 1


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_what_a_drill_lost_of_pictures_is_judged(durability: Durability) -> None:
    """Users are back; the verdict is missed, for the pictures alone."""
    events = run(Drill(durability=durability, simulated=True), slow=True)
    verdict = judge(as_if_real(events))
    assert verdict.rto.measured_s
    assert verdict.media.missing
    assert verdict.verdict == "missed"
    assert [why.split(":")[0] for why in verdict.why] == ["Pictures"]
