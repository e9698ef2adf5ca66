"""`resilience check`, typed: what it says of a loss is of where the app is, not of where it began."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.cli import check
from resilience.engine.preflight import Doors
from tests.sim.stage import begun, fleet_with
from tests.sim.typed import typing_at


@pytest.mark.parametrize("moved", [False, True])
def test_a_loss_is_told_of_where_the_app_is(moved: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: FBT001
    """At birch its own vault counts no more: without elm no epoch could be sealed; and birch's sister is no refuge."""
    fleet = fleet_with()
    vendors = tuple(replace(vendor, parent="birch") if vendor.name == "elm" else vendor for vendor in fleet.vendors)
    stage = begun(replace(fleet, vendors=vendors))
    if moved:
        stage.operator.switchover()
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    monkeypatch.setattr(check, "preflight_doors", lambda *_: Doors({}, lambda _url: 0.0, (), {}, lambda _site: ()))
    said = json.loads(CliRunner().invoke(cli.app, ["check", "--json"]).stdout)
    grades = {(one["area"], one["subject"]): one["grade"] for one in said["findings"]}
    assert grades["losing", "elm"] == ("warn" if moved else "pass")
    assert grades.get(("independence", "elm")) == ("warn" if moved else None)
    offline = json.loads(CliRunner().invoke(cli.app, ["check", "--offline", "--json"]).stdout)
    assert {"pass"} == {one["grade"] for one in offline["findings"] if one["area"] == "losing"}
