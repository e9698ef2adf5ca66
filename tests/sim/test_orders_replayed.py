"""A vault's vendor, or an accident, shows another order under an order's name, or other words of the same: none is forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.decide import plan_failover
from resilience.engine import orders
from resilience.engine.observe import survey_after_loss
from resilience.errors import VaultError
from resilience.model import LegalOrder, SignOff
from resilience.replication import seals
from tests.sim.plans import ORDER, SIGNED, ordered
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.typed import typing_at

OTHER = LegalOrder("AZ 1", "Another Court", "2026-11-22", "")
NAME = orders.key(ORDER)


def replayed(stage: Stage, vault: str = "elm") -> Stage:
    """Both orders are on record, and this vault's vendor serves the other one's bytes under the first one's name."""
    orders.record(stage.world, OTHER)
    held = stage.state.vaults[vault].objects
    held[NAME] = held[orders.key(OTHER)]
    return stage


def shows(stage: Stage, vault: str, order: LegalOrder) -> None:
    """What one vault shows under the order's name, signed by the operator."""
    stage.state.vaults[vault].objects[orders.key(order)] = orders.encode(order, stage.world.signer.sign)


def hazards_of(stage: Stage) -> set[tuple[str, str]]:
    """Names and references of the hazards of a failover now."""
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    return {(hazard.name, hazard.reference) for hazard in plan_failover(stage.fleet, survey, declared=dead).hazards}


def typed(stage: Stage, monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> Result:
    """One command at this stage."""
    typing_at(stage, stage.world, monkeypatch, folder)
    return CliRunner().invoke(cli.app, words)


def seen(stage: Stage) -> tuple[LegalOrder, ...]:
    """The orders that the vaults show between them."""
    return orders.listing(stage.world, stage.world.vaults).orders


@pytest.mark.parametrize("vault", ["birch", "cedar", "elm"])
def test_another_orders_bytes_make_no_order_forgotten(vault: str) -> None:
    """Whichever vault is asked last: it is a hazard, somebody signs off, and what it names stays down."""
    stage = replayed(ordered(), vault)
    assert {("legal-order", ORDER.reference), ("legal-order", OTHER.reference)} <= hazards_of(stage)
    stage.operator.sign_offs = (SIGNED, SignOff("Jane Roe, counsel", OTHER.reference, "2026-11-25"))
    stage.operator.failover("birch")
    assert {"post7", "post8"} <= stage.state.hosts["birch"].hidden


def test_a_name_under_which_nobody_gives_an_order_leaves_one_that_may_be_missed() -> None:
    """The vaults that hold it are lost but one, whose vendor hides it: what was recorded there can't be told."""
    stage = replayed(ordered())
    del stage.state.vaults["birch"].objects[NAME]
    stage.state.lose("cedar")
    found = hazards_of(stage)
    assert ("legal-order", ORDER.reference) not in found
    assert "missed-order" in {name for name, _ in found}


def test_a_vault_that_holds_something_else_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By `order list`, by each snapshot in the journal, and by whatever was to give it the order."""
    stage = replayed(day_one())
    orders.record(stage.world, replace(ORDER, reference="later"))
    stage.state.vaults["cedar"].objects[NAME] = orders.encode(ORDER, stage.world.signer.sign)
    said = typed(stage, monkeypatch, tmp_path, "order", "list")
    assert said.exit_code == 0
    assert said.stderr == f"elm: {NAME} is no order of that name.\n"
    assert ORDER.reference in said.stdout
    del stage.state.vaults["elm"].objects[orders.key(OTHER)]
    stage.operator.snapshot()
    (noted,) = [facts for event in stage.world.log.read() if "orders_lacking" in (facts := event.data.get("facts", {}))]
    assert set(noted["orders_lacking"]) == {"elm"}
    assert orders.key(OTHER) in stage.state.vaults["elm"].objects
    refused = typed(stage, monkeypatch, tmp_path, "catch-up", "elm").exception
    assert isinstance(refused, VaultError)
    assert f"elm holds something else as {NAME}" in str(refused)


SHORTER = replace(ORDER, down=("7",))
LONGER = replace(ORDER, down=(*ORDER.down, "12"))


@pytest.mark.parametrize(("differs", "down"), [(SHORTER, ORDER.down), (LONGER, LONGER.down)])
def test_whatever_any_signed_words_of_an_order_name_is_down(differs: LegalOrder, down: tuple[str, ...]) -> None:
    """One vault shows it as it was before the list grew, or is the only one that has the longer list: all of it counts."""
    for vault in ("birch", "cedar", "elm"):
        stage = ordered()
        shows(stage, vault, differs)
        assert seen(stage) == (replace(ORDER, down=down),)
        stage.operator.sign_offs = (SIGNED,)
        before = set(stage.state.hosts["acorn"].hidden)
        assert attempt(stage.operator.failover) is None
        ordered_down = {f"post{named}" for named in down if named != "99"}  # which nobody wrote
        assert stage.state.hosts["birch"].hidden - before == ordered_down


def test_the_words_that_most_vaults_show_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who ordered it and when is told by two of three, and the one that differs is named; of two that differ by the later date."""
    stage = ordered()
    shows(stage, "elm", replace(ORDER, authority="Nobody", issued="2026-11-29"))
    assert seen(stage) == (ORDER,)
    said = typed(stage, monkeypatch, tmp_path, "order", "list")
    assert said.stderr == "elm holds 12 O 34/26 with other words than most.\n"
    del stage.state.vaults["birch"].objects[NAME]
    assert seen(stage)[0].issued == "2026-11-29"
    assert seen(stage)[0].down == ORDER.down


def test_what_is_no_order_is_none() -> None:
    """Signed, and under its own name: a list that is no list, a number where text belongs, a key more."""
    signer = day_one().world.signer
    for changed in ({"down": "post7"}, {"issued": 7}, {"lifted": True}):
        body = {"reference": "x", "authority": "y", "issued": "z", "vendor": "", "down": [], **changed}
        data = seals.canonical(seals.sign_json(body, signer.sign))
        assert orders.decode(data, signer.verify) is None


def test_the_same_words_in_other_bytes_are_the_same_words() -> None:
    """Spaces that a vendor puts into its copy split no vote, and are not what is given to a vault that lacks the order."""
    stage = day_one()
    orders.record(stage.world, ORDER)
    true = stage.state.vaults["birch"].objects[NAME]
    stage.state.vaults["cedar"].objects[NAME] = true + b" " * 1000
    shows(stage, "elm", replace(ORDER, authority="Nobody", issued="2026-11-29"))
    assert seen(stage) == (ORDER,)
    del stage.state.vaults["elm"].objects[NAME]
    stage.operator.snapshot()
    assert stage.state.vaults["elm"].objects[NAME] == true
