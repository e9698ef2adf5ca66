"""What a terminal shows, and the same for machines."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from resilience.errors import Refused
from resilience.judge import judge
from resilience.model import (
    EpochRecord,
    Fleet,
    Hazard,
    Names,
    Phase,
    Plan,
    Promise,
    Replication,
    Site,
    SiteOutputs,
    SiteReading,
    Stage,
    Step,
    Survey,
    Unknown,
    VaultReading,
    VaultSpec,
    Vendor,
    ZoneReading,
    ZoneSpec,
)
from resilience.render import error_text, json_text, plan_text, survey_json, survey_text, to_json, verdict_text
from tests.journals import DAY, healthy, missed, simulated, unknown

FLEET = Fleet(
    name="plaza",
    app="plaza",
    vendors=(Vendor("acorn"), Vendor("birch")),
    sites=(Site("acorn", "acorn", "lab"), Site("birch", "birch", "lab", "hot"), Site("cedar", "cedar", "metal")),
    vaults=(
        VaultSpec("birch", "birch", "gcs", "http://198.18.2.3", "b"),
        VaultSpec("elm", "elm", "s3", "http://198.18.5.3", "e"),
        VaultSpec("cedar", "cedar", "s3", "http://198.18.3.3", "c"),
    ),
    names=Names("plaza.test", 30, (ZoneSpec("acorn", "powerdns", "x"), ZoneSpec("dover", "powerdns", "y"))),
    promise=Promise(90, 2),
    replication=Replication(2, 2),
)
EPOCH = EpochRecord(3, "acorn", "n", 2, ("birch", "elm"), 2, 2, DAY, "ab")
SURVEY = Survey(
    at=DAY,
    accounts={"acorn": False, "birch": True, "elm": Unknown("no answer in 5 s")},
    vaults={"birch": VaultReading(EPOCH, "a1f0", 12), "elm": VaultReading(Unknown("403"), None, 0)},
    sites={
        "acorn": SiteReading(
            SiteOutputs("acorn", "acorn", ("198.18.1.100",), ("ssh-ed25519 A",)),
            True,
            {"lag_seconds": 0.31},
            Stage.WRITES,
        ),
        "birch": SiteReading(None, Unknown("nothing runs there"), Unknown("nothing runs there")),
    },
    zones={"acorn": ZoneReading(Unknown("refused")), "dover": ZoneReading(("198.18.1.100",))},
)
PLAN = Plan(
    "failover",
    "plaza",
    "acorn",
    "birch",
    (Step("decide.seal.birch", "seal", "birch", Phase.DECIDE, "Only birch may write [now]."),),
    (Hazard("loses-writes", "What no vault holds yet is lost."), Hazard("single-vault-left", "Only elm is left.")),
)


def test_survey_says_what_is_not_known() -> None:
    """Each site, vault, name and account has a line; what did not answer says why."""
    said = survey_text(FLEET, SURVEY)
    for words in (
        "3: acorn may write",
        "unknown: 403",
        "unknown: no answer in 5 s",
        "CLOSED",
        "12 entries",
        "not looked at",
    ):
        assert words in said
    assert "198.18.1.100   yes      writes    0.3 s" in said


def test_alarms_stand_last() -> None:
    """What ship calls alarming, and since when commits or writes are not as declared; nothing where all is well."""
    assert "Alarms" not in survey_text(FLEET, SURVEY)
    ship: dict[str, object] = {
        "lag_seconds": 9.0,
        "degraded_since": DAY,
        "writes_stopped_since": None,
        "alarms": ["elm was left behind"],
    }
    ship |= {"postgres_error": "no stream", "at_risk": {"seconds": None}}
    worried = replace(SURVEY, sites={"acorn": replace(SURVEY.sites["acorn"], ship=ship)})
    told = survey_text(FLEET, worried).partition("Alarms")[2]
    assert "acorn: commits count as async since" in told
    assert "acorn: ship gets nothing from Postgres: no stream" in told
    assert "writes    not known" in survey_text(FLEET, worried)
    fenced = replace(SURVEY, sites={"acorn": replace(SURVEY.sites["acorn"], ship={**ship, "superseded_by": 2})})
    assert "gets nothing" not in survey_text(FLEET, fenced), "its Postgres was stopped on purpose"
    assert told.rstrip().endswith("acorn: elm was left behind")
    ended: dict[str, object] = {"role": "standby", "follows": "birch", "stopped": "Two histories part at 0/14."}
    stopped = replace(SURVEY, sites={"acorn": replace(SURVEY.sites["acorn"], ship=ended)})
    assert "acorn: this standby is given nothing more: Two histories part at 0/14." in survey_text(FLEET, stopped)


def test_survey_for_machines_keeps_unknown_apart_from_no() -> None:
    """Closed is false, unknown is an object with the reason, none is null."""
    found = survey_json(SURVEY)
    assert found["accounts"] == {"acorn": False, "birch": True, "elm": {"unknown": "no answer in 5 s"}}
    assert found["vaults"]["elm"] == {
        "epoch": {"unknown": "403"},
        "snapshot": None,
        "ledger": 0,
        "verified": None,
        "compared": None,
        "compared_at": None,
        "not_compared": "",
        "failed_at": None,
        "failed": "",
        "open": {"unknown": "nobody tried it"},
    }
    assert found["sites"]["acorn"]["outputs"]["addresses"] == ["198.18.1.100"]


def test_plan_has_reasons_hazards_and_the_digest() -> None:
    """A hazard that is not accepted comes with the option that accepts it; brackets are no markup."""
    said = plan_text(PLAN, frozenset({"loses-writes"}))
    assert "Only birch may write [now]." in said
    assert "loses-writes: What no vault holds yet is lost. (accepted)" in said
    assert "accept it with --accept single-vault-left" in said
    assert f"Digest {PLAN.digest}" in said


def test_a_plan_without_hazards_says_so() -> None:
    """No hazards is a statement, not a gap."""
    assert "No hazards." in plan_text(Plan("up", "plaza", "acorn", "acorn", PLAN.steps))


def test_verdict_comes_first_and_the_report_last() -> None:
    """The word, the sentence, the reasons, the measures, and where the report is."""
    said = verdict_text(judge(missed()), "out/report.html").splitlines()
    assert said[0].startswith("MISSED  Back in 135.1 s, promised 90 s.")
    assert said[-1] == "Report: out/report.html"
    assert any("RPO: 74 acknowledged writes lost" in line for line in said)
    assert any(line.startswith("decide 3.2 s, provision 64.4 s") for line in said)


@pytest.mark.parametrize("events", [healthy(), missed(), unknown(), simulated(), []])
def test_no_terminal_no_colour(events: list[object]) -> None:
    """Where output is no terminal there is no escape code and no line that ends in blanks."""
    said = verdict_text(judge(events))  # type: ignore[arg-type]
    assert "\x1b" not in said
    assert all(line == line.rstrip() for line in said.splitlines())


def test_an_error_says_what_why_and_next() -> None:
    """Three lines, one each."""
    assert error_text(Refused("Not accepted: x.", "Because.", "Add --accept x.")).splitlines() == [
        "Error: Not accepted: x.",
        "Why:   Because.",
        "Next:  Add --accept x.",
    ]


def test_json_of_everything_can_be_read_back() -> None:
    """Plans, verdicts, surveys and errors are plain JSON."""
    assert json.loads(json_text(PLAN))["digest"] == PLAN.digest
    assert json.loads(json_text(judge(healthy())))["blackhole"] == {"vendors": ["acorn"], "calls": 0}
    assert json.loads(json_text(SURVEY)) == survey_json(SURVEY)
    assert to_json(Refused("a", "b", "c")) == {"what": "a", "why": "b", "next": "c", "exit": 5}
    assert to_json({Phase.DATA: (Phase.DATA, {1})}) == {"data": ["data", [1]]}
