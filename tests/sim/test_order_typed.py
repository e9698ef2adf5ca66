"""Legal orders as a person types them: what is no order is told at once, and whatever is recorded can be signed off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.engine import orders
from resilience.errors import Refused, UsageError
from resilience.model import LegalOrder
from tests.sim.plans import ORDER
from tests.sim.rehearsing import rehearse, untouched
from tests.sim.stage import Stage, day_one
from tests.sim.typed import typing_at


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """Where the words go."""
    made = day_one()
    typing_at(made, made.world, monkeypatch, tmp_path)
    return made


def typed(*words: str) -> Result:
    """One command line."""
    return CliRunner().invoke(cli.app, words)


def add(*more: str, reference: str = "AZ 1", authority: str = "court") -> Result:
    """An order, typed."""
    given = ("--reference", reference, "--authority", authority, "--issued", "2026-11-25")
    return typed("order", "add", *given, *more)


def recorded(stage: Stage) -> tuple[LegalOrder, ...]:
    """What the vaults say."""
    return orders.listing(stage.world, stage.world.vaults).orders


def failed_over(stage: Stage, *sign_offs: str) -> Result:
    """The primary's vendor is lost; a person reads the plan, accepts each hazard, and signs off."""
    stage.state.lose("acorn")
    read = json.loads(typed("plan", "--json").output)
    accepted = (f"--accept={hazard['name']}" for hazard in read["hazards"])
    return typed("failover", "--digest", read["digest"], *accepted, *(f"--sign-off={one}" for one in sign_offs))


@pytest.mark.parametrize("text", ["", " AZ 1", "AZ 1 ", "AZ\n1", "AZ\u00a01"])
def test_what_nobody_could_type_again_is_no_reference(stage: Stage, text: str) -> None:
    """A sign-off names it letter by letter: blanks at its ends, or characters that nobody sees, are refused before anything is put."""
    for said in (add(reference=text), add(authority=text)):
        assert isinstance(said.exception, UsageError)
        assert repr(text) in said.exception.what
    assert recorded(stage) == ()


@pytest.mark.parametrize("reference", ["12 O 34/26; 12 O 35/26", "AZ 1;"])
def test_an_order_whose_reference_has_a_semicolon_is_signed_off(stage: Stage, reference: str) -> None:
    """Who stands before the first, the day after the last."""
    assert add("--vendor", "acorn", reference=reference).exit_code == 0
    assert failed_over(stage, f"Jane Roe, counsel; {reference}; 2026-11-25").exit_code == 0
    decided = [event.data for event in stage.world.log.read() if event.kind == "decided"][-1]
    assert decided["signed_off"] == [{"who": "Jane Roe, counsel", "reference": reference, "date": "2026-11-25"}]


def test_an_order_that_was_recorded_with_blanks_is_signed_off(stage: Stage) -> None:
    """An earlier version took it: what it asks for is what is typed."""
    orders.record(stage.world, LegalOrder(" AZ 1 ", "court", "2026-11-25", ""))
    assert failed_over(stage, "Jane Roe; AZ 1; 2026-11-25").exit_code == 0


def test_an_evacuation_is_signed_off(stage: Stage, tmp_path: Path) -> None:
    """As in a failover: refused without it, done with it, and the journal keeps who stood for it."""
    orders.record(stage.world, ORDER)
    letter = tmp_path / "letter"
    letter.write_text("The account ends within 30 hours.")
    assert typed("notice", "add", str(letter)).exit_code == 0
    shown = typed("evacuate").exception
    assert isinstance(shown, UsageError)
    digest = shown.next.split()[-1]
    plan = json.loads(Path("plans", f"{digest}.json").read_text())
    doing = ("evacuate", "--digest", digest, *(f"--accept={hazard['name']}" for hazard in plan["hazards"]))
    refused = typed(*doing).exception
    assert isinstance(refused, Refused)
    assert refused.next == f'Add: --sign-off "WHO; {ORDER.reference}; YYYY-MM-DD"'
    assert typed(*doing, "--sign-off", f"Jane Roe, counsel; {ORDER.reference}; 2026-11-25").exit_code == 0
    decided = [event.data for event in stage.world.log.read() if event.kind == "decided"][-1]
    assert [one["who"] for one in decided["signed_off"]] == ["Jane Roe, counsel"]
    assert {"post7", "post8"} <= stage.state.hosts["birch"].hidden
    assert stage.post(1) == 1


def test_a_rehearsal_needs_no_sign_off(stage: Stage) -> None:
    """Nothing is opened to anybody; the hazard is named all the same, and what was ordered down is down in the copy."""
    orders.record(stage.world, ORDER)
    rehearse(stage.operator)
    assert stage.beside is not None
    (plan,) = [event.data["plan"] for event in stage.beside.events if event.kind == "plan"]
    assert [hazard["reference"] for hazard in plan["hazards"] if hazard["name"] == "legal-order"] == [ORDER.reference]
    facts = {event.data["action"]: event.data["facts"] for event in stage.beside.events if event.kind == "step-done"}
    assert facts["ledger"]["ordered_down"] == 2
    assert "verify" in facts
    untouched(stage)


@pytest.mark.parametrize("named", ["post7", "https://elsewhere.test/@ann/7", "https://plaza.test/@ann", "-7", ""])
def test_what_names_no_post_is_refused_at_once(stage: Stage, named: str) -> None:
    """A failover could not obey it: the error says which words, and nothing is recorded."""
    refused = add("--down", "8", f"--down={named}").exception
    assert isinstance(refused, UsageError)
    assert repr(named) in refused.what
    assert "plaza.test" in refused.next
    assert recorded(stage) == ()


def test_an_address_is_taken_for_its_post(stage: Stage) -> None:
    """Recorded is the id, once."""
    assert add("--down", "https://plaza.test/@ann/7", "--down", "7", "--down", "8").exit_code == 0
    assert [order.down for order in recorded(stage)] == [("7", "8")]


def test_an_order_that_can_not_be_obeyed_stops_no_failover_and_is_told(stage: Stage) -> None:
    """An earlier version recorded it: the plan, the steps and the list say what of it names no post; all else is down."""
    order = LegalOrder("AZ 1", "court", "2026-11-25", "", ("post7", "8", "https://plaza.test/@ann/9", "-1"))
    orders.record(stage.world, order)
    told = "post7, -1 in AZ 1 name no post: nobody can take that down."
    assert told in typed("order", "list").stdout
    assert json.loads(typed("order", "list", "--json").stdout)[0]["no_posts"] == ["post7", "-1"]
    stage.state.lose("acorn")
    (hazard,) = [one for one in json.loads(typed("plan", "--json").output)["hazards"] if one["name"] == "legal-order"]
    assert told in hazard["why"]
    said = failed_over(stage, "Jane Roe; AZ 1; 2026-11-25")
    assert said.exit_code == 0, said.exception
    assert told in said.stderr
    birch = stage.state.hosts["birch"]
    assert {"post8", "post9"} <= birch.hidden
    assert "post7" not in birch.hidden
    facts = {event.data["action"]: event.data["facts"] for event in stage.world.log.read() if event.kind == "step-done"}
    assert (facts["ledger"]["ordered_down"], facts["ledger"]["not_obeyed"]) == (2, [told])
    assert stage.post(1) == 1


def test_the_site_that_serves_obeys_what_it_can(stage: Stage) -> None:
    """`up` ends as ever, and says what of the order names no post."""
    orders.record(stage.world, LegalOrder("AZ 1", "court", "2026-11-25", "", ("post7", "8")))
    said = typed("up", "acorn")
    assert said.exit_code == 0, said.exception
    assert "post7 in AZ 1 names no post: nobody can take that down." in said.stderr
    assert "post8" in stage.state.hosts["acorn"].hidden
    assert stage.post(1) == 1
