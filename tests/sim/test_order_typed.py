"""Legal orders as a person types them: what is no order is told at once, and whatever is recorded can be signed off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.engine import orders
from resilience.errors import UsageError
from resilience.model import LegalOrder
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
