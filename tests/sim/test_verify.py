"""Verifying and pruning in the in-memory World: what was proven is journalled, and only that gives way to nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resilience.cli.verify import told
from resilience.engine.observe import observe
from resilience.engine.prune import DAY, prune
from resilience.engine.verify import verify
from resilience.errors import BrokenChain, ResilienceError
from resilience.model import Event, Site, SiteOutputs
from resilience.render import survey_text
from resilience.replication.proof import NEWEST
from tests.sim.stage import day_one


@dataclass
class Plane:
    """A data plane of which only verifying and pruning are asked."""

    found: dict[str, dict[str, Any] | BrokenChain]
    asked: list[tuple[Any, ...]]
    ship: dict[str, Any] | None = None
    seen: dict[str, Any] | None = None
    told: list[tuple[str, str]] = field(default_factory=list)
    waiting: tuple[str, ...] = ()

    def witness(self, site: Site, outputs: SiteOutputs) -> dict[str, Any]:
        """What the primary says that it sees."""
        if self.seen is None:
            raise ResilienceError("acorn can't be counted.", "It is gone.", "Look.")
        return self.seen

    def verify(self, vault: str, at: str | None, witness: dict[str, Any] | None = None) -> dict[str, Any]:
        """What was prepared for this vault."""
        self.asked.append((vault, at))
        assert witness in (None, self.seen)
        found = self.found[vault]
        if isinstance(found, BrokenChain):
            raise found
        return found

    def status(self, site: Site, outputs: SiteOutputs) -> dict[str, Any]:
        """What ship says that the vaults acknowledged."""
        if self.ship is None:
            raise ResilienceError("acorn does not answer.", "It is gone.", "Look.")
        return self.ship

    def proven(self, site: Site, outputs: SiteOutputs, vault: str) -> None:
        """Remember what the primary was told."""
        self.told.append((site.name, vault))

    def prune(self, vault: str, proven: Sequence[str], unlabelled: Sequence[str], *, really: bool) -> dict[str, Any]:
        """Remember what was asked."""
        self.asked.append((vault, proven, unlabelled, really))
        waiting = [one for one in self.waiting if one not in unlabelled]
        return {"vault": vault, "snapshots": 1, "chunks": 2, "waiting": waiting, "removed": really}


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
    assert plane.told == [("acorn", "birch")], "its metrics say it of that one alone"
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


SEEN: dict[str, Any] = {
    "position": "0/18",
    "tables": {"plaza.public.posts": (3, "17"), "plaza.public.new": (0, "0")},
    "left_out": {},
}


def copied(name: str, **changes: Any) -> dict[str, Any]:
    """A vault that gives back what the primary saw, but for these changes."""
    return {**good(name), "end_lsn": "0/18", "tables": dict(SEEN["tables"]), "early": [], **changes}


def test_rows_are_compared_with_the_primarys() -> None:
    """Each vault goes to where the primary was counted: as there, with other contents, without a table, or not to be told."""
    stage = day_one()
    ship = {
        "epoch": 1,
        "confirmed_lsn": "0/20",
        "vaults": {name: {"lsn": "0/20"} for name in ("birch", "cedar", "elm")},
    }
    other = {"plaza.public.posts": [3, "18"], "plaza.public.new": [0, "0"]}
    plane = Plane({"birch": copied("b1"), "cedar": copied("c1", tables=other), "elm": copied("e1")}, [], ship, SEEN)
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    found = verify(world, stage.fleet)
    assert plane.asked == [("birch", "0/18"), ("cedar", "0/18"), ("elm", "0/18")]
    assert [found[name]["compared"] for name in ("birch", "cedar", "elm")] == [True, False, True]
    assert [found[name]["ok"] for name in ("birch", "cedar", "elm")] == [True, False, True]
    assert found["birch"]["compared_tables"] == 2
    assert "plaza.public.posts: 3 rows, there 3 rows" in found["cedar"]["why"]
    assert list(found["cedar"]["unlike"]) == ["plaza.public.posts"]
    event = next(e for e in reversed(stage.world.log.read()) if e.kind == "verified" and e.data["vault"] == "birch")
    assert event.data["compared"] is True
    kept = stage.state.vaults["cedar"].objects
    proof = json.loads(next(kept[key] for key in kept if key.startswith("verified/birch/")))
    assert (proof["compared"], proof["compared_tables"]) == (True, 2)
    for operator in (stage.world, stage.other_operator().world):
        told = survey_text(stage.fleet, observe(operator, stage.fleet))
        assert told.count("s ago, rows the primary's") == 2, "birch and elm; cedar was never whole"
    gone = {"plaza.public.posts": (3, "17"), "plaza.public.old": (1, "1")}
    plane.found |= {"birch": copied("b1", tables=gone), "cedar": copied("c1", early=["731"])}
    plane.seen = {**SEEN, "left_out": {"plaza.public.old": "somebody had it locked"}}
    found = verify(world, stage.fleet)
    assert "plaza.public.new: no such table, there 0 rows" in found["birch"]["why"]
    assert list(found["birch"]["unlike"]) == ["plaza.public.new"], "what nobody could count is compared with nothing"
    assert (found["cedar"]["ok"], found["cedar"]["compared"]) == (True, None)
    assert observe(stage.world, stage.fleet).vaults["cedar"].compared is None
    assert "1 transaction had committed at 0/18" in found["cedar"]["not_compared"]
    assert found["elm"]["left_out"] == {"plaza.public.old": "somebody had it locked"}


def test_a_newest_snapshot_that_cannot_be_brought_is_told() -> None:
    """An older one stands in for it: of the newest epoch that is no whole vault, of one before it is named."""
    stage = day_one()
    late = {"snapshot": "b2b2b2b2b2", "vault": "birch", "epoch": 1, "why": "birch: restic failed. data/ab is damaged."}
    old = {"snapshot": "c0c0c0c0c0", "vault": "cedar", "epoch": 0, "why": "cedar: restic failed. It is locked."}
    vaults = {
        "birch": {**good("b1"), "passed_over": [late]},
        "cedar": {**good("c1"), "restore_s": 1.5, "passed_over": [old]},
        "elm": {**good("e1"), "restore_s": 1.5, "passed_over": []},
    }
    found = verify(replace(stage.world, plane=Plane(vaults, [])), stage.fleet)  # type: ignore[arg-type]
    assert [facts["ok"] for facts in found.values()] == [False, True, True]
    assert "b2b2b2b2" in found["birch"]["what"]
    assert "data/ab is damaged" in found["birch"]["why"]
    assert "passed over, since they could not be brought: c0c0c0c0 of epoch 0" in told(found["cedar"])
    assert "passed over" not in told(found["elm"])
    kept = {e.data["vault"]: e.data["passed_over"] for e in stage.state.events if e.kind == "verified"}
    assert kept == {"birch": [late], "cedar": [old], "elm": []}
    seen = observe(stage.world, stage.fleet).vaults
    assert seen["birch"].failed_at is not None
    assert (seen["cedar"].failed_at, seen["elm"].failed_at) == (None, None)


def test_where_the_primary_cant_be_compared_with_the_rest_holds() -> None:
    """A primary that does not answer, one that was left out, a vault that lags, a copy that is not whole: not known, and why."""
    stage = day_one()
    lags = {"birch": "0/20", "cedar": "0/20", "elm": "0/8"}
    ship = {"epoch": 1, "confirmed_lsn": "0/20", "vaults": {name: {"lsn": at} for name, at in lags.items()}}
    hole = BrokenChain("WAL from 0/3 to 0/4", "0/3", "Bring it back.")
    plane = Plane({"birch": copied("b1"), "cedar": hole, "elm": good("e1")}, [], ship, SEEN)
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    began = world.clock.now()
    found = verify(world, stage.fleet)
    assert 60 <= world.clock.now() - began < 90, "elm was waited for, and not for ever"
    assert plane.asked == [("birch", "0/18"), ("cedar", "0/18"), ("elm", "0/8")]
    assert [found[name]["compared"] for name in ("birch", "cedar", "elm")] == [True, None, None]
    assert [found[name]["ok"] for name in ("birch", "cedar", "elm")] == [True, False, True]
    assert found["elm"]["not_compared"] == "the primary was counted at 0/18, and elm acknowledged no more than 0/8"
    assert found["cedar"]["not_compared"] == "it is not whole"
    left = verify(world, stage.fleet, ("birch",), primary=False)["birch"]
    assert (left["ok"], left["compared"], left["acknowledged"]) == (True, None, "0/20")
    plane.seen = None
    found = verify(world, stage.fleet, ("birch",))
    assert (found["birch"]["ok"], found["birch"]["compared"]) == (True, None)
    assert "acorn can't be counted" in found["birch"]["not_compared"]


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
        for beside in range(NEWEST - 1):
            stage.state.vaults[name].objects[f"verified/birch/99999999999999{beside}.json"] = b"junk"
    seen = observe(elsewhere, stage.fleet).vaults
    assert seen["elm"].verified is None
    assert seen["birch"].verified is not None, "it lies behind the junk"
    for name in ("birch", "cedar", "elm"):
        stage.state.vaults[name].objects["verified/birch/999999999999999.json"] = b"junk"
    seen = observe(elsewhere, stage.fleet).vaults
    assert seen["birch"].verified is None, "so much junk hides it here; this machine's own journal still knows"
    assert observe(stage.world, stage.fleet).vaults["birch"].verified is not None


def test_the_simulated_plane_verifies_too() -> None:
    """Its vaults give back what its primary saw, while users write; one that lost its snapshots, or has another row, does not."""
    stage = day_one()

    def post() -> None:
        stage.post(1, "acorn")

    stage.state.goes_on.append(post)
    before = stage.posted
    found = verify(stage.world, stage.fleet)
    assert {facts["compared"] for facts in found.values()} == {True}
    assert stage.posted > before + len(found)
    acorn = stage.fleet.site("acorn")
    outputs = stage.world.clouds["acorn"].outputs(acorn)
    assert outputs is not None

    def told() -> dict[str, Any]:
        return dict(stage.world.plane.status(acorn, outputs)["vaults"])

    first = {name: facts["verified_at"] for name, facts in told().items()}
    assert None not in first.values()
    stage.state.vaults["elm"].snapshots.clear()
    stage.state.vaults["cedar"].chains[1].rows["forged"] = 0.0
    found = verify(stage.world, stage.fleet)
    assert [name for name, facts in found.items() if not facts["ok"]] == ["cedar", "elm"]
    assert list(found["cedar"]["unlike"]) == ["writes"]
    assert [name for name, facts in told().items() if facts["verified_at"] > first[name]] == ["birch"]


def test_nothing_gives_way_to_what_was_not_proven_long_ago() -> None:
    """A snapshot verified before the kept days opens the way, with those that were verified since; a failed or a recent one never does."""
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
    assert plane.asked == [("birch", ("old", "new"), (), False)]


def test_what_was_proven_since_has_a_say_and_a_doubt_stops_all() -> None:
    """Every later proof goes along, each snapshot once; while the newest trial failed or passed one over nothing is asked."""
    stage = day_one()
    plane = Plane({"birch": good("s0")}, [])
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    week = round(7 * DAY * 1000)

    def told() -> str | tuple[Any, ...]:
        plane.asked.clear()
        facts = prune(world, stage.fleet, really=True)["birch"]
        return plane.asked[0][1] if plane.asked else f"{facts['error']} {facts['next']}"

    def after_a_week(found: dict[str, Any] | BrokenChain) -> str | tuple[Any, ...]:
        stage.state.ms += week
        plane.found["birch"] = found
        verify(world, stage.fleet, ("birch",))
        return told()

    verify(world, stage.fleet, ("birch",))
    stage.state.ms += round(stage.fleet.replication.keep_days * DAY * 1000)
    for _ in range(2):
        assert after_a_week(good("s-1")) == ("s0", "s-1")
    failed = after_a_week(BrokenChain("WAL from 0/3 to 0/4", "0/3", "Bring it back."))
    assert "not whole" in failed
    assert "resilience verify --vault birch" in failed
    passing = {"vault": "birch", **good("s-1"), "passed_over": ["s0"]}
    world.log.append(Event(world.clock.now(), "verified", passing))
    assert "passed a newer snapshot over" in told()
    world.log.append(Event(world.clock.now(), "verified", {**passing, "ok": False, "snapshot": "s-2"}))
    assert "not whole" in told()
    assert after_a_week(good("s1")) == ("s0", "s-1", "s-2", "s1")


def test_what_no_label_names_goes_by_this_machine_s_time() -> None:
    """Told once, it may go keep_days later, and not before; a run that only looks counts for nothing."""
    stage = day_one()
    plane = Plane({"birch": good("s0")}, [], waiting=("half",))
    world = replace(stage.world, plane=plane)  # type: ignore[arg-type]
    days = stage.fleet.replication.keep_days

    def asked(*, really: bool = True, later: float = 0.0) -> Any:
        stage.state.ms += round(later * DAY * 1000)
        plane.asked.clear()
        prune(world, stage.fleet, really=really)
        return plane.asked[0][2]

    verify(world, stage.fleet, ("birch",))
    assert asked(later=days + 1, really=False) == ()
    assert asked(later=days + 1) == ()
    assert asked(later=days - 1) == ()
    assert asked(later=1) == ("half",)
