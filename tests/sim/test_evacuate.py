"""An evacuation leaves a vendor whole: its site, its vaults, and all who are expected to go on the same day."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.errors import ResilienceError, UsageError
from resilience.model import Event, Vendor
from tests.sim.stage import Stage, attempt, begun, day_one, fleet_with
from tests.sim.typed import typing_at

ENDS = "2023-11-16T12:00Z"
"""The simulation begins on 14 November 2023."""


@dataclass
class Evacuation:
    """What is typed to leave a vendor that gave notice."""

    stage: Stage
    vendor: str
    options: tuple[str, ...] = ()
    approved: tuple[str, ...] = field(default=(), init=False)

    def read(self) -> dict[str, Any]:
        """The plan as it is shown; from here on it counts as read, with all its hazards."""
        told = self.type().exception
        assert isinstance(told, UsageError), told
        assert told.what == "No plan was approved.", told
        digest = told.next.split()[-1]
        plan: dict[str, Any] = json.loads(Path("plans", f"{digest}.json").read_text())
        self.approved = ("--digest", digest, *(f"--accept={hazard['name']}" for hazard in plan["hazards"]))
        return plan

    def move(self) -> str | None:
        """Typed with what was read; what it ended with where that was no success."""
        return attempt(lambda: raised(self.type()))

    def type(self) -> Result:
        """One command line."""
        return CliRunner().invoke(cli.app, ["evacuate", *self.options, *self.approved])


def raised(said: Result) -> None:
    """What a command line ended with."""
    if said.exception is not None:
        raise said.exception


Leaving = Callable[..., Evacuation]


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Leaving:
    """Its letter is filed, and evacuations are typed on this stage."""

    def begin(stage: Stage, vendor: str, *options: str) -> Evacuation:
        typing_at(stage, stage.world, monkeypatch, tmp_path)
        letter = tmp_path / "letter"
        letter.write_text("Your account ends.")
        filed = CliRunner().invoke(
            cli.app, ["notice", "add", str(letter), "--vendor", vendor, "--deadline", ENDS, "--offline"]
        )
        assert filed.exit_code == 0, (filed.output, filed.exception)
        return Evacuation(stage, vendor, options)

    return begin


def hazards(plan: dict[str, Any]) -> dict[str, str]:
    """Each with its reason."""
    return {hazard["name"]: hazard["why"] for hazard in plan["hazards"]}


def newest_set(stage: Stage) -> tuple[str, tuple[str, ...]]:
    """Which site may write, and into which vaults."""
    newest = stage.monitor.newest()
    assert newest is not None
    return newest.site, newest.vaults


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_a_vendor_that_ends_the_account_is_no_vault_of_the_next_set(durability: Any, leaving: Leaving) -> None:
    """That one vault is left is said in the plan; on the day it ends users write on, and the new site can be left."""
    stage = day_one(durability)
    stage.operator.switchover(to="birch")
    evacuation = leaving(stage, "birch", "--to", "cedar")
    plan = evacuation.read()
    seal = next(step for step in plan["steps"] if step["action"] == "seal")
    assert (seal["args"]["vaults"], seal["args"]["k"], seal["args"]["s"]) == (["elm"], 1, 1)
    assert "elm" in hazards(plan)["single-vault-left"]
    assert evacuation.move() is None
    assert newest_set(stage) == ("cedar", ("elm",))
    stage.state.lose("birch")
    assert stage.post(3) == 3
    stage.state.pass_time(1.0)
    stage.operator.protect(lost={"birch"})
    stage.state.lose("cedar")
    stage.operator.failover(lost={"birch"})
    assert stage.post(1, "acorn") == 1
    assert stage.state.confirmed <= set(stage.state.hosts["acorn"].rows)


def test_whoever_leaves_with_it_is_neither_target_nor_vault(leaving: Leaving) -> None:
    """Cedar is gone to first by the file, and goes when acorn goes: birch is the target, elm the vault."""
    base = fleet_with(acorn=("cedar",))
    sites = {site.name: site for site in base.sites}
    stage = begun(replace(base, sites=tuple(sites[name] for name in ("acorn", "cedar", "birch"))))
    stage.state.pass_time(1.0)
    told = leaving(stage, "acorn", "--to", "cedar").type().exception
    assert isinstance(told, UsageError)
    assert told.what == "cedar is at cedar, which is expected to go with acorn."
    assert "--to birch" in told.next
    evacuation = leaving(stage, "acorn")
    assert hazards(evacuation.read()).keys() >= {"single-vault-left"}
    assert evacuation.move() is None
    assert newest_set(stage) == ("birch", ("elm",))
    for vendor in ("acorn", "cedar"):
        stage.state.lose(vendor)
    assert stage.post(3, "birch") == 3


def test_fewer_vaults_than_writes_are_to_wait_for_is_said(leaving: Leaving) -> None:
    """Three of three confirmed; two would be left, and both be needed, as all three were."""
    base = fleet_with("quorum", acorn=("fir",))
    fir = replace(base.vaults[-1], name="fir", vendor="fir")
    fleet = replace(
        base,
        vendors=(*base.vendors, Vendor("fir")),
        vaults=(base.vault("cedar"), base.vault("elm"), fir),
        replication=replace(base.replication, k=3, s=2),
    )
    stage = begun(fleet)
    stage.state.pass_time(1.0)
    plan = leaving(stage, "acorn").read()
    seal = next(step for step in plan["steps"] if step["action"] == "seal")
    assert (seal["args"]["vaults"], seal["args"]["k"], seal["args"]["s"]) == (["cedar", "elm"], 2, 2)
    assert "cedar and elm would all be needed" in hazards(plan)["no-spare-vault"]


def test_no_vault_elsewhere_moves_nobody(leaving: Leaving) -> None:
    """Refused while everything still serves, with what to declare."""
    stage = day_one(acorn=("cedar", "elm"))
    stage.state.pass_time(1.0)
    told = leaving(stage, "acorn").type().exception
    assert isinstance(told, ResilienceError)
    assert told.what == "No vault would be left with birch as the primary."
    assert "declare a vault" in told.next
    assert stage.post(1, "acorn") == 1


def test_what_the_leaving_vault_alone_has_is_brought_along(leaving: Leaving) -> None:
    """A picture of the first days that elm never took: it is in elm before the move is over."""
    stage = day_one()
    stage.state.pass_time(1.0)
    stage.operator.switchover(to="birch")
    for vault in ("cedar", "elm"):
        stage.state.vaults[vault].pictures.discard("post7")
    evacuation = leaving(stage, "birch", "--to", "cedar")
    evacuation.read()
    assert evacuation.move() is None
    assert "post7" in stage.state.vaults["elm"].pictures
    assert set(stage.state.acknowledged) - {"post3", "post4"} <= stage.state.vaults["elm"].pictures


def begins_to_fill(event: Event) -> bool:
    """Whether this line begins to fill vaults."""
    return event.kind == "step-started" and event.data["action"] == "fill"


@pytest.mark.parametrize("how", ["error", "closed"])
def test_a_leaving_vault_that_is_silent_is_asked_again(leaving: Leaving, how: str) -> None:
    """Nothing is called done while what it alone has may be missed; once it answers as a closed account, nobody waits for it."""
    stage = day_one()
    stage.state.pass_time(1.0)
    stage.operator.switchover(to="birch")
    stage.state.vaults["elm"].pictures.discard("post7")

    def falls_silent() -> None:
        for call in (1, 2, 3):
            stage.break_next("vault.birch.list", how=how, call=call)

    stage.world = stage.operator.asleep(begins_to_fill, falls_silent).world
    evacuation = leaving(stage, "birch", "--to", "cedar")
    evacuation.read()
    said = evacuation.move()
    assert stage.post(1) == 1
    if how == "error":
        assert said is not None
        assert said.startswith("VaultError: birch does not say what it holds, and its vendor ends the account")
        assert evacuation.move() is None
        assert "post7" in stage.state.vaults["elm"].pictures
    else:
        assert said is None
    assert newest_set(stage) == ("cedar", ("elm",))


def test_a_plain_move_that_was_interrupted_is_no_evacuation(leaving: Leaving) -> None:
    """It was approved before the letter came, and counts on birch's vault: a new plan is shown, and done."""
    stage = day_one()
    stage.operator.switchover(to="birch")
    stage.break_next("plane.cedar.shape", how="killed")
    assert "killed" in str(attempt(lambda: stage.operator.switchover(to="cedar")))
    evacuation = leaving(stage, "birch", "--to", "cedar")
    evacuation.read()
    assert evacuation.move() is None
    assert newest_set(stage) == ("cedar", ("elm",))
    assert stage.post(1) == 1


def test_a_plain_move_that_had_closed_the_site_is_taken_back_first(leaving: Leaving) -> None:
    """It was killed between the close and the seal: the new site opens as far as the old one was, not as far as it was left."""
    stage = day_one()
    stage.operator.switchover(to="birch")
    stage.break_next("plane.birch.shipped", how="killed", call=2)
    assert "killed" in str(attempt(lambda: stage.operator.switchover(to="cedar")))
    assert stage.post(1) == 0
    evacuation = leaving(stage, "birch", "--to", "cedar")
    evacuation.read()
    assert evacuation.move() is None
    assert newest_set(stage) == ("cedar", ("elm",))
    assert stage.post(1) == 1


def test_a_plain_move_counts_on_every_vault() -> None:
    """Nobody gave notice: birch's vault is in the set."""
    stage = day_one()
    stage.operator.switchover(to="birch")
    stage.operator.switchover(to="cedar")
    assert newest_set(stage) == ("cedar", ("birch", "elm"))
    assert stage.post(1) == 1
