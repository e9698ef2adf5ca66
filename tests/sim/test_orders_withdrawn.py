"""A legal order that was recorded by mistake: withdrawn by name, for good, and never by what a vault's vendor leaves out or shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.decide import plan_failover
from resilience.engine import orders
from resilience.engine.observe import survey_after_loss
from resilience.errors import TooFewVaults, UsageError, VaultSilent
from resilience.model import LegalOrder
from tests.sim.plans import ORDER, SIGNED
from tests.sim.stage import Stage, day_one
from tests.sim.typed import typing_at

VAULTS = ("birch", "cedar", "elm")
AGAIN = LegalOrder("AZ 1", "Another Court", "2026-11-22", "", ("9",))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fleet with an order on record, where the words go."""
    made = day_one()
    typing_at(made, made.world, monkeypatch, tmp_path)
    orders.record(made.world, ORDER)
    return made


def typed(*words: str) -> Result:
    """One command line."""
    return CliRunner().invoke(cli.app, words)


def withdraw(reference: str = ORDER.reference, why: str = "a slip: recorded anew as AZ 2") -> Result:
    """Somebody withdraws an order."""
    return typed("order", "withdraw", reference, "--who", "Jane Roe, counsel", "--why", why)


def in_force(stage: Stage) -> tuple[LegalOrder, ...]:
    """The orders that hold, as vaults tell between them."""
    return orders.listing(stage.world, stage.world.vaults).orders


def withdrawals(stage: Stage, vault: str) -> dict[str, bytes]:
    """The objects in one vault that withdraw something."""
    return {name: data for name, data in stage.state.vaults[vault].objects.items() if "-withdrawn-" in name}


def hazards_of(stage: Stage) -> dict[str, str]:
    """Hazards of a failover now, and why each is one."""
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    return {hazard.name: hazard.why for hazard in plan_failover(stage.fleet, survey, declared=dead).hazards}


def test_an_order_is_withdrawn(stage: Stage) -> None:
    """Nothing is written over; nobody is asked to sign off, what it names is not taken down, and list and plan say who took it back, and why."""
    before = {name: dict(stage.state.vaults[name].objects) for name in VAULTS}
    said = withdraw()
    assert said.exit_code == 0
    assert said.output == (
        "12 O 34/26 is withdrawn in birch, cedar, elm: no plan asks for a sign-off for it. What was taken down for it stays down.\n"
    )
    assert all(before[name].items() <= stage.state.vaults[name].objects.items() for name in VAULTS)
    assert typed("order", "list").stdout == (
        "2026-11-20 District Court: 12 O 34/26, down: 7, 8, 99\n"
        "  withdrawn 2023-11-14 by Jane Roe, counsel: a slip: recorded anew as AZ 2\n"
    )
    (listed,) = json.loads(typed("order", "list", "--json").stdout)
    assert listed["withdrawn"]["who"] == "Jane Roe, counsel"
    assert listed["withdrawn"]["at"].startswith("2023-11-14T")
    stage.state.lose("acorn")
    hazards = hazards_of(stage)
    assert "legal-order" not in hazards
    assert hazards["withdrawn-order"].startswith(
        "1 order was withdrawn: 12 O 34/26 (Jane Roe, counsel, 2023-11-14: a slip: recorded anew as AZ 2)."
    )
    stage.operator.failover()
    assert not {"post7", "post8"} & stage.state.hosts["birch"].hidden
    assert stage.post(1) == 1


def test_what_was_taken_down_for_it_stays_down(stage: Stage) -> None:
    """It is in the ledger, which nothing takes back."""
    stage.state.lose("acorn")
    stage.operator.sign_offs = (SIGNED,)
    stage.operator.failover("birch")
    stage.state.pass_time(1.0)
    assert withdraw().exit_code == 0
    stage.state.lose("birch")
    stage.operator.sign_offs = ()
    stage.operator.failover("cedar")
    assert {"post7", "post8"} <= stage.state.hosts["cedar"].hidden


@pytest.mark.parametrize("vault", VAULTS)
def test_a_vendor_who_withholds_a_part_changes_nothing(stage: Stage, vault: str) -> None:
    """Of the withdrawal, of the order, or of both: the others tell."""
    assert withdraw().exit_code == 0
    objects = stage.state.vaults[vault].objects
    (name,) = withdrawals(stage, vault)
    kept = {one: objects.pop(one) for one in (name, orders.key(ORDER))}
    assert in_force(stage) == ()
    objects[name] = kept[name]
    assert in_force(stage) == ()
    objects[orders.key(ORDER)] = kept[orders.key(ORDER)]
    del objects[name]
    assert in_force(stage) == ()
    assert "withdrawn-order" in hazards_of(stage)


def test_where_nobody_shows_the_withdrawal_the_order_holds(stage: Stage) -> None:
    """The safe side: a person is asked to sign off, and what it names is taken down."""
    assert withdraw().exit_code == 0
    (name,) = withdrawals(stage, "elm")
    for vault in VAULTS:
        del stage.state.vaults[vault].objects[name]
    assert in_force(stage) == (ORDER,)
    assert "legal-order" in hazards_of(stage)


def test_no_withdrawal_counts_for_another_order(stage: Stage) -> None:
    """Served under another's name, signed by nobody, or with a word more: every order holds, and the vault is named."""
    orders.record(stage.world, AGAIN)
    assert withdraw().exit_code == 0
    (data,), held = withdrawals(stage, "elm").values(), stage.state.vaults["elm"].objects
    theirs = orders.withdrawn_key(AGAIN)
    changed = json.loads(data)
    changed["order"] = json.loads(held[orders.key(AGAIN)])
    for forged in (data, json.dumps(changed).encode(), b"", held[orders.key(AGAIN)]):
        held[theirs] = forged
        assert in_force(stage) == (AGAIN,)
        assert f"elm: {theirs} is no withdrawal of that name." in typed("order", "list").stderr
    assert "missed-order" not in hazards_of(stage)


def test_words_that_nobody_withdrew_hold(stage: Stage) -> None:
    """Another operator recorded the same reference with other words, in a vault that was silent meanwhile."""
    right = replace(ORDER, down=("9",))
    elm, name = stage.state.vaults["elm"].objects, orders.key(ORDER)
    del elm[name]
    stage.break_next("vault.elm.list")
    assert withdraw().exit_code == 0
    elm[name] = orders.encode(right, stage.world.signer.sign)
    assert in_force(stage) == (right,)
    assert {"legal-order", "withdrawn-order"} <= hazards_of(stage).keys()
    assert withdraw().exit_code == 0
    assert in_force(stage) == ()


def test_a_withdrawal_in_too_few_vaults_is_none(stage: Stage) -> None:
    """It could be forgotten: an error says which vaults lack it; typed again, what was said first stands."""
    for name in ("birch", "cedar"):
        stage.break_next(f"vault.{name}.put_new")
    refused = withdraw().exception
    assert isinstance(refused, TooFewVaults)
    assert refused.what == "The withdrawal of 12 O 34/26 is recorded in elm: 1 of the 2 vaults that it takes."
    stage.break_next("vault.birch.put_new")
    stage.state.pass_time(1.0)
    said = withdraw(why="another reason")
    assert said.exit_code == 0
    assert said.output.splitlines()[1].startswith("birch lacks it: ")
    assert withdrawals(stage, "cedar") == withdrawals(stage, "elm") != {}
    (listed,) = json.loads(typed("order", "list", "--json").stdout)
    assert listed["withdrawn"]["why"] == "a slip: recorded anew as AZ 2"


def test_a_withdrawal_goes_wherever_orders_go(stage: Stage) -> None:
    """With each snapshot, and with each catch-up."""
    stage.break_next("vault.birch.put_new")
    assert withdraw().exit_code == 0
    assert not withdrawals(stage, "birch")
    stage.operator.snapshot()
    assert withdrawals(stage, "birch") == withdrawals(stage, "elm") != {}
    stage.state.vaults["elm"].objects.pop(next(iter(withdrawals(stage, "elm"))))
    assert typed("catch-up", "elm").exit_code == 0
    assert withdrawals(stage, "elm") == withdrawals(stage, "birch")


def test_what_was_withdrawn_is_not_recorded_again(stage: Stage) -> None:
    """It would count as withdrawn at once, and be forgotten: it takes another reference, whatever the words."""
    assert withdraw().exit_code == 0
    adding = ("order", "add", "--authority", "District Court", "--issued", "2026-11-20", "--vendor", "acorn")
    for words in ((*adding, "--down", "7", "--down", "8", "--down", "99"), adding):
        refused = typed(*words, "--reference", ORDER.reference).exception
        assert isinstance(refused, UsageError)
        assert "Jane Roe, counsel" in refused.why
    assert typed(*adding, "--reference", f"{ORDER.reference} (2)").exit_code == 0
    assert [order.reference for order in in_force(stage)] == ["12 O 34/26 (2)"]


def test_what_is_not_on_record_can_not_be_withdrawn(stage: Stage) -> None:
    """A slip of the finger is told, with the vaults that might know more; and who and why are said in one line."""
    stage.break_next("vault.elm.list")
    refused = withdraw("12 O 43/26").exception
    assert isinstance(refused, UsageError)
    assert "elm" in refused.why
    assert not isinstance(refused, VaultSilent)
    assert isinstance(withdraw(why="").exception, UsageError)
    assert in_force(stage) == (ORDER,)


def test_an_order_that_nobody_would_read_is_not_recorded(stage: Stage) -> None:
    """A vault's reader takes no object of a megabyte, and whatever withdraws an order says it all again."""
    with pytest.raises(UsageError, match="too long to be recorded"):
        orders.record(stage.world, replace(AGAIN, down=tuple(str((1 << 62) + n) for n in range(30_000))))
    assert in_force(stage) == (ORDER,)
