"""Rehearsals: the failover's own steps, cut off before anybody is moved, and a verdict that needs proof."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.decide import plan_failover, plan_rehearsal, rehearsal_fleet
from resilience.errors import Refused, UsageError
from resilience.judge import judge
from resilience.model import Event
from resilience.replication.beneath import Beneath
from tests.journals import DAY
from tests.unit.test_decide import FLEET, survey

CLOUD = rehearsal_fleet(FLEET, "birch", "r1", "acorn")


def test_it_is_the_failover_until_a_user_gets_through() -> None:
    """The same steps in the same order, for a site of its own, and all pictures; no name is moved and nothing is opened."""
    plan = plan_rehearsal(CLOUD, survey(CLOUD))
    whole = plan_failover(CLOUD, survey(CLOUD), to="birch-rehearsal")
    assert plan.steps[:-1] == whole.steps[: len(plan.steps) - 1]
    assert [step.action for step in plan.steps[-2:]] == ["verify", "media"]
    assert not {"point", "open", "protect", "state", "delegate"} & {step.action for step in plan.steps}
    assert (plan.kind, plan.target) == ("rehearsal", "birch-rehearsal")


def test_what_it_puts_lies_beneath_its_name() -> None:
    """Every vault has the prefix, no zone is left, and the real standby is another site."""
    assert {vault.beneath for vault in CLOUD.vaults} == {"rehearsal/r1/"}
    assert CLOUD.names.zones == ()
    assert FLEET.site("birch") in CLOUD.sites


@pytest.mark.parametrize(("to", "why"), [("cedar", "simply there"), ("nope", "not declared"), ("acorn", "lost")])
def test_a_site_that_would_be_touched_is_refused(to: str, why: str) -> None:
    """Hosts that are simply there, the primary's vendor, a name nobody declared."""
    with pytest.raises(UsageError) as refused:
        rehearsal_fleet(FLEET, to, "r1", "acorn")
    assert why in refused.value.why


def test_a_declared_site_is_never_taken_for_the_rehearsal_s() -> None:
    """A rehearsal removes the hosts of its own site before it begins, by its name."""
    beside = replace(FLEET.site("birch"), name="birch-rehearsal")
    with pytest.raises(UsageError, match="birch-rehearsal") as refused:
        rehearsal_fleet(replace(FLEET, sites=(*FLEET.sites, beside)), "birch", "r1", "acorn")
    assert "rename" in refused.value.next.lower()


def test_the_fleet_s_own_objects_are_never_changed() -> None:
    """What is put over one lies beside it, what is not the rehearsal's is not removed, and its own is read first."""
    vault = MemoryVault("elm")
    vault.put_new("epoch/00000001.json", b"theirs")
    seen = Beneath(vault, "rehearsal/r1/")
    assert seen.put_new("epoch/00000001.json", b"ours") is True
    assert vault.get("epoch/00000001.json") == b"theirs"
    assert seen.put_new("epoch/00000002.json", b"ours") is True
    assert seen.list("epoch/") == ["epoch/00000001.json", "epoch/00000002.json"]
    assert vault.list("epoch/") == ["epoch/00000001.json"]
    seen.delete("epoch/00000001.json")
    for remove in (seen.delete, seen.erase):
        with pytest.raises(Refused):
            remove("epoch/00000001.json")
    vault.put_new("epoch/00000002.json", b"the fleet moved on")
    assert seen.get("epoch/00000002.json") == b"ours"


def journal(change: Callable[[dict[str, Any]], None] = lambda _: None) -> list[Event]:
    """A rehearsal that went well, but for what `change` does to the fleet meanwhile."""
    site = {"outputs": ["198.18.1.100"], "serving": True, "stage": "writes", "ship": {"nonce": "n", "epoch": 1}}
    seen = {"epochs": {"elm": {"number": 1}}, "zones": {"dover": [["198.18.1.100"], 30]}, "sites": {"acorn": site}}
    later = copy.deepcopy(seen)
    change(later)
    header = {"fault": "rehearsal", "seed": 0, "simulated": False, "target": "birch", "ttl_s": 30.0}
    promise = {"rto_s": 90.0, "rpo_s": 2.0, "human_decide_s": 300.0}
    return [
        Event(DAY - 2, "drill-started", {**header, "promise": promise}),
        Event(DAY - 1, "data", {"db_bytes": 9_000_000, "media_bytes": 0}),
        Event(DAY - 1, "production", {"when": "before", **seen}),
        Event(DAY, "fault", {"fault": "rehearsal", "vendors": ["acorn"], "at": DAY}),
        Event(DAY + 1, "decided", {}),
        Event(DAY + 40, "media-checked", {"objects": 3, "missing": 0, "corrupt": 0}),
        Event(DAY + 40, "takedowns-checked", {"issued": 0, "resurrected": 0}),
        Event(DAY + 41, "step-done", {"id": "start.verify.birch", "action": "verify", "phase": "start", "facts": {}}),
        Event(DAY + 45, "production", {"when": "after", **later}),
        Event(DAY + 45, "torn-down", {"left": []}),
    ]


def test_a_proven_one_is_met() -> None:
    """A user got through in time, and the fleet is as it was; nothing taken down is no doubt."""
    verdict = judge(journal())
    assert (verdict.verdict, verdict.why) == ("met", ())
    assert verdict.rto.measured_s == pytest.approx(41)


def _name_moved(seen: dict[str, Any]) -> None:
    seen["zones"]["dover"] = [["198.18.2.100"], 30]


def _epoch_sealed(seen: dict[str, Any]) -> None:
    seen["epochs"]["elm"]["number"] = 2


def _ship_stopped(seen: dict[str, Any]) -> None:
    seen["sites"]["acorn"]["ship"]["nonce"] = "another"


def _vault_silent(seen: dict[str, Any]) -> None:
    seen["epochs"]["elm"] = {"unknown": "timed out"}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [(_name_moved, "missed"), (_epoch_sealed, "missed"), (_ship_stopped, "missed"), (_vault_silent, "unknown")],
)
def test_a_fleet_that_changed_is_told(change: Callable[[dict[str, Any]], None], outcome: str) -> None:
    """A name that moved, an epoch that was sealed, a ship that stopped: missed. What can't be read: unknown."""
    verdict = judge(journal(change))
    assert verdict.verdict == outcome
    assert any("Production" in why for why in verdict.why)


@pytest.mark.parametrize("kind", ["step-done", "torn-down", "media-checked", "production", "drill-started"])
def test_a_line_that_lacks_is_never_met(kind: str) -> None:
    """Whatever is not in the journal was not shown."""
    assert judge([event for event in journal() if event.kind != kind]).verdict != "met"


def test_what_was_left_behind_is_told() -> None:
    """A host that could not be removed goes on costing money."""
    left = [e if e.kind != "torn-down" else Event(e.at, e.kind, {"left": ["hosts of birch"]}) for e in journal()]
    assert judge(left).verdict == "missed"
