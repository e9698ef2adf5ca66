"""A planned move and back, as an operator types it, with the real data plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from resilience.lab import Lab
from tests.lab.test_failover import Operator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
ADDRESSES = {"acorn": "198.18.1.100", "birch": "198.18.2.100"}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A fleet whose primary is up at acorn."""
    lab = Lab(tmp_path_factory.mktemp("fleet") / "lab")
    lab.up(keep=True)
    try:
        someone = Operator(lab)
        someone.run("up", "acorn")
        yield someone
    finally:
        left = lab.down()
    assert left == []


def switch(operator: Operator, to: str) -> list[dict[str, Any]]:
    """Read the plan, approve it with all its hazards, do it; the lines that it wrote."""
    shown = operator.start("switchover", "--to", to, "--json")
    out, _ = shown.communicate(timeout=60)
    assert shown.returncode == 2
    digest = json.loads(out)["next"].split()[-1]
    plan = json.loads((operator.file.parent / "plans" / f"{digest}.json").read_text())
    accepted = [word for hazard in plan["hazards"] for word in ("--accept", hazard["name"])]
    before = len(operator.journal())
    assert operator.run("switchover", "--to", to, "--digest", digest, *accepted)["site"] == to
    return operator.journal()[before:]


def test_there_and_back(operator: Operator) -> None:
    """To birch and home to acorn: the old site says what it wrote last, the vaults reach that far, the name moves."""
    there = switch(operator, "birch")
    stood = next(e for e in there if e["kind"] == "stood-down")
    assert stood["site"] == "acorn"
    seen = operator.run("status")
    assert seen["sites"]["birch"]["serving"] is True
    assert {zone["addresses"][0] for zone in seen["zones"].values()} == {ADDRESSES["birch"]}
    back = switch(operator, "acorn")
    aside = next(e for e in back if e["kind"] == "step-done" and e["action"] == "clear")
    assert str(aside["facts"]["aside"]).startswith("/var/lib/resilience/aside/")
    assert operator.run("status")["sites"]["acorn"]["serving"] is True
    assert [e["number"] for e in operator.journal() if e["kind"] == "sealing"] == [1, 2, 3]
