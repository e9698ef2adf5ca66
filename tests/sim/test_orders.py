"""Legal orders, and what earlier journals tell: found again by whoever has the fleet's kit."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.decide import plan_failover
from resilience.engine import orders
from resilience.engine.execute import Approval, approve
from resilience.engine.observe import survey_after_loss
from resilience.engine.past import past_of
from resilience.errors import Refused, TooFewVaults, UsageError, VaultSilent
from resilience.model import SignOff
from tests.sim.plans import ORDER, SIGNED, ordered
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.typed import typing_at


@dataclass
class Unlisting:
    """A vault that answers, but lists no orders while it is to fail at that."""

    inner: Any
    failing: bool = False

    def __getattr__(self, verb: str) -> Any:
        """As it is."""
        return getattr(self.inner, verb)

    def list(self, prefix: str) -> list[str]:
        """No orders."""
        if self.failing and prefix == orders.PREFIX:
            raise VaultSilent("elm did not answer", "ReadTimeout", "Try again.")
        listed: list[str] = self.inner.list(prefix)
        return listed


def unlisting(stage: Stage) -> Unlisting:
    """Make elm such a vault, for the operator."""
    elm = Unlisting(stage.world.vaults["elm"])
    stage.world = replace(stage.world, vaults={**stage.world.vaults, "elm": elm})
    stage.operator = replace(stage.operator, world=stage.world, sign_offs=(SIGNED,))
    return elm


def in_two_of_three() -> Stage:
    """The order lies in cedar, which is lost as well, and in elm."""
    stage = ordered()
    del stage.state.vaults["birch"].objects[orders.key(ORDER)]
    stage.state.lose("cedar")
    return stage


def hazards_of(stage: Stage) -> set[str]:
    """Of a failover now."""
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    return {hazard.name for hazard in plan_failover(stage.fleet, survey, declared=dead).hazards}


def test_an_order_that_may_be_missed_is_a_hazard() -> None:
    """Its vault answers, but for its orders: what the others list proves nothing, and that has to be accepted."""
    stage = in_two_of_three()
    elm = unlisting(stage)
    assert "missed-order" not in hazards_of(stage)
    elm.failing = True
    assert "missed-order" in hazards_of(stage)
    assert "legal-order" not in hazards_of(stage)
    stage.operator.failover("birch")
    assert stage.post(1) == 1


def test_nothing_is_opened_where_an_order_may_be_missed_since_the_plan() -> None:
    """The vault fails once at the step that obeys: it stops there, and the same command goes on and obeys."""
    stage = in_two_of_three()
    elm = unlisting(stage)
    stage.break_next("app.birch.replay_ledger", how="killed")
    assert "killed" in str(attempt(partial(stage.operator.failover, "birch")))
    elm.failing = True
    assert "TooFewVaults: Not every vault says what was ordered down" in str(
        attempt(partial(stage.operator.failover, "birch"))
    )
    assert not stage.state.hosts["birch"].serving
    elm.failing = False
    stage.operator.failover("birch")
    assert {"post7", "post8"} <= stage.state.hosts["birch"].hidden


def test_a_vault_that_fails_alone_stops_nobody() -> None:
    """Any two of three vaults show each order: it is obeyed by what the others list."""
    stage = ordered()
    elm = unlisting(stage)
    elm.failing = True
    assert "missed-order" not in hazards_of(stage)
    stage.operator.failover("birch")
    assert {"post7", "post8"} <= stage.state.hosts["birch"].hidden


def test_a_list_of_orders_names_the_vaults_that_lack_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That none was found is not said where one may lie in a vault that did not list its own."""
    stage = day_one()
    unlisting(stage).failing = True
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    said = CliRunner().invoke(cli.app, ("order", "list"))
    assert said.exit_code == 0
    assert said.stdout == ""
    assert said.stderr == "elm did not list its orders: ReadTimeout\n"


def test_an_order_is_found_from_any_machine_and_cant_be_forged() -> None:
    """Another operator's machine reads it from the vaults; an object that nobody signed is none."""
    stage = ordered()
    stage.state.vaults["elm"].objects["order/0000.json"] = b'{"reference": "x", "signature": "00"}'
    world = stage.other_operator().world
    assert orders.listing(world, world.vaults) == orders.Listing((ORDER,), {})


def test_nothing_is_done_under_an_order_until_somebody_signs_off() -> None:
    """Accepting it by its name is not enough, nor is a sign-off for another order."""
    stage = ordered()
    for sign_offs in ((), (SignOff("Jane Roe", "another", "2026-11-25"),)):
        stage.operator.sign_offs = sign_offs
        with pytest.raises(Refused, match="Nobody signed off"):
            stage.operator.failover()
    assert "birch" not in stage.state.hosts
    stage.operator.sign_offs = (SIGNED,)
    stage.operator.failover()
    decided = [event for event in stage.world.log.read() if event.kind == "decided"][-1]
    assert decided.data["signed_off"] == [{"who": "Jane Roe, counsel", "reference": "12 O 34/26", "date": "2026-11-25"}]


def test_what_was_ordered_down_stays_down() -> None:
    """The copies still show the posts; at the new site they are down before anybody can read, and in the ledger."""
    stage = ordered()
    stage.operator.sign_offs = (SIGNED,)
    stage.operator.failover()
    birch = stage.state.hosts["birch"]
    assert {"post7", "post8"} <= birch.hidden
    assert {"post7", "post8"} <= set(birch.ledger.values())
    stage.state.pass_time(1.0)
    stage.state.lose("birch")
    stage.operator.failover(to="cedar")
    assert {"post7", "post8"} <= stage.state.hosts["cedar"].hidden


def test_what_changed_since_the_plan_was_read_is_in_the_refusal() -> None:
    """A vault's vendor closed in between: the refusal names it, not only a digest."""
    stage = day_one()
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    read = plan_failover(stage.fleet, survey, declared=dead)
    stage.state.lose("elm")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    now = plan_failover(stage.fleet, survey, declared=dead)
    accepted = frozenset(hazard.name for hazard in now.hazards)
    with pytest.raises(Refused) as refused:
        approve(stage.world, now, Approval(read.digest, accepted, "operator"), read)
    assert "lost vendors is acorn, elm now" in refused.value.why
    assert "single-vault-left" in refused.value.why


def test_a_journal_tells_the_next_plan() -> None:
    """A run to its end and the snapshots read back count; a run that broke off does not."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("app.birch.start")
    assert attempt(stage.operator.failover) is not None
    assert {run.kind for run in past_of(stage.world.log.read()).runs} == {"up"}
    stage.operator.failover()
    past = past_of(stage.world.log.read())
    ran = past.runs[-1]
    assert (ran.kind, ran.target) == ("failover", "birch")
    assert ran.took["provision"] > 0
    assert {vault for vault, _ in past.verified} == {"birch", "cedar", "elm"}
    survey, _ = survey_after_loss(stage.world, stage.fleet, frozenset())
    assert survey.past == past


def test_drills_of_the_history_count_where_they_proved_something() -> None:
    """Met and missed are experience; unknown and simulated ones are not."""
    drill: dict[str, Any] = {
        "target": "birch",
        "verdict": "met",
        "rto": {"provision_s": 12.0, "name_s": 30.0},
        "rpo": {"lost": 3},
    }
    entries = [drill, {**drill, "verdict": "unknown"}, {**drill, "simulated": True}, {**drill, "target": None}]
    past = past_of([], entries)
    assert len(past.runs) == 1
    assert (dict(past.runs[0].took), past.runs[0].lost_writes) == ({"provision": 12.0}, 3)


def test_run_again_nothing_is_taken_down_twice() -> None:
    """Killed right after the takedowns, the failover goes on and writes no second entry."""
    stage = ordered()
    stage.operator.sign_offs = (SIGNED,)
    stage.break_next("app.birch.take_down", after=True, how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    assert attempt(partial(stage.operator.failover)) is None
    entries = list(stage.state.hosts["birch"].ledger.values())
    assert entries.count("post7") == entries.count("post8") == 1


def test_an_order_in_too_few_vaults_is_no_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One vault alone could be the next that is lost: it is said which lack it, and the exit status is an error's."""
    stage = day_one()
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    adding = (
        "order",
        "add",
        "--reference",
        "AZ 1",
        "--authority",
        "court",
        "--issued",
        "2026-11-25",
        "--down",
        "7",
    )
    for name in ("birch", "cedar"):
        stage.break_next(f"vault.{name}.put_new")
    said = CliRunner().invoke(cli.app, adding)
    assert said.exit_code != 0
    assert isinstance(said.exception, TooFewVaults)
    assert said.exception.what == "Order AZ 1 is recorded in elm: 1 of the 2 vaults that it takes."
    assert "birch:" in said.exception.why
    assert "cedar:" in said.exception.why
    stage.break_next("vault.birch.put_new")
    said = CliRunner().invoke(cli.app, adding)
    assert said.exit_code == 0
    assert said.output.startswith("AZ 1 is recorded in cedar, elm.\nbirch lacks it: ")


def test_another_order_under_the_same_reference_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is recorded is never changed; whoever types other words is told so."""
    stage = day_one()
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    adding = ("order", "add", "--reference", "AZ 1", "--authority", "court", "--issued", "2026-11-25")
    assert CliRunner().invoke(cli.app, adding).exit_code == 0
    refused = CliRunner().invoke(cli.app, (*adding, "--down", "7")).exception
    assert isinstance(refused, TooFewVaults)
    assert "holds something else as order/" in refused.why


def test_an_order_goes_wherever_copies_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With each snapshot and each catch-up into a vault that lacks it, and into one that joins; what nobody signed is not spread."""
    stage = day_one()
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    stage.break_next("vault.elm.put_new")
    assert set(orders.record(stage.world, ORDER).lacking) == {"elm"}
    elm, name = stage.state.vaults["elm"].objects, orders.key(ORDER)
    stage.state.vaults["birch"].objects["order/0000.json"] = b'{"reference": "x", "signature": "00"}'
    stage.operator.snapshot()
    assert name in elm
    del elm[name]
    assert CliRunner().invoke(cli.app, ("catch-up", "elm")).exit_code == 0
    assert name in elm
    stage.operator.vaults("elm")
    del elm[name]
    monkeypatch.setattr("resilience.engine.steps.protect._orders", lambda _run: {})
    stage.operator.vaults()
    assert name in elm
    assert "order/0000.json" not in elm


def test_an_order_is_typed_and_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`order add` records it and `order list` shows it; the failover's plan asks for a sign-off, and what it names is down."""
    stage = day_one()
    typing_at(stage, stage.world, monkeypatch, tmp_path)

    def typed(*words: str) -> Result:
        return CliRunner().invoke(cli.app, words)

    adding = ("order", "add", "--reference", "12 O 34/26", "--authority", "District Court", "--down", "7")
    assert isinstance(typed(*adding, "--issued", "20 November").exception, UsageError)
    assert typed("order", "list").output == "No order is recorded.\n"
    said = typed(*adding, "--issued", "2026-11-20", "--vendor", "acorn")
    assert said.output == "12 O 34/26 is recorded in birch, cedar, elm.\n"
    assert json.loads(typed("order", "list", "--json").output)[0]["down"] == ["7"]
    stage.state.lose("acorn")
    read = json.loads(typed("plan", "--json").output)
    names = [hazard["name"] for hazard in read["hazards"]]
    assert "legal-order" in names
    doing = ("failover", "--digest", read["digest"], *(word for name in names for word in ("--accept", name)))
    refused = typed(*doing).exception
    assert isinstance(refused, Refused)
    assert '--sign-off "WHO; 12 O 34/26; YYYY-MM-DD"' in refused.next
    assert isinstance(typed(*doing, "--sign-off", "Jane Roe").exception, UsageError)
    assert typed(*doing, "--sign-off", "Jane Roe, counsel; 12 O 34/26; 2026-11-25").exit_code == 0
    assert "post7" in stage.state.hosts["birch"].hidden
    assert stage.post(1) == 1
