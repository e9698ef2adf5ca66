"""Findings: what a check says of a fleet and of what was seen, and that nothing unknown passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resilience import config
from resilience.config.prices import load_prices
from resilience.decide.preflight import declared, observed
from resilience.engine.preflight import remembered
from resilience.model import (
    Certificate,
    EpochRecord,
    MirrorReading,
    Registration,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    ZoneReading,
)
from resilience.model.finding import Finding, Seen
from resilience.model.probe import Probe, Trial
from resilience.simulation import simulated_fleet
from tests.sim.stage import Stage

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
METAL = config.load(EXAMPLES / "two-clouds-and-metal.toml")
HOBBY = config.load(EXAMPLES / "hobby.toml")
BOX = Probe(
    "attic", (Trial("conditional-create", "fail", "501", "…"), Trial("read-after-write", "pass", "")), mirror=True
)
WELL = Probe("wasabi", (Trial("conditional-create", "pass", ""), Trial("read-after-write", "pass", "")))
TWICE = Probe("wasabi", (Trial("conditional-create", "fail", "501: NotImplemented", "Write copies_only."),))
REGISTERED = Registration("forum.example", ("client transfer prohibited",), 999 * 86_400.0, ("ns1.example",))
SITE = METAL.sites[-1].name
VERSIONS = {"arch": "x86_64", "postgres": "15.18", "collation": "2.36"}


def of(findings: tuple[Finding, ...], area: str, subject: str) -> list[Finding]:
    """What was found of one thing."""
    return [finding for finding in findings if (finding.area, finding.subject) == (area, subject)]


def seen(**changes: Any) -> tuple[Finding, ...]:
    """Findings of a fleet with one healthy vault and two DNS vendors, but for what is changed."""
    vaults = {"wasabi": VaultReading(epoch=None, snapshot=None, ledger=0)}
    zones = {name: ZoneReading(("192.0.2.1",), serials={"ns": 1}) for name in ("cloudflare", "google")}
    held = {"attic": MirrorReading("wasabi", "label/00000001/0000000001000000-abc.json", 0.0)}
    facts = Seen(
        probes={"wasabi": WELL, "attic": BOX},
        skew_s={"wasabi": 1.0},
        versions={"wasabi": VERSIONS},
        hosts={site.name: VERSIONS for site in METAL.sites},
        plugins={"aws": True},
    )
    travels = (Certificate(METAL.names.host, "CN=one", 90 * 86_400.0, "00"), ("wasabi",))
    survey = Survey(
        0.0,
        accounts={"amazon": True},
        vaults=vaults,
        zones=zones,
        certificate=travels,
        registration=REGISTERED,
        mirrors=held,
    )
    for name, value in changes.items():
        if hasattr(survey, name):
            survey = replace(survey, **{name: value})
        else:
            facts = replace(facts, **{name: value})
    return observed(METAL, survey, facts, load_prices())


def test_a_fleet_that_survives_each_vendor() -> None:
    """With three vaults and s = 2, whoever leaves, there is a site and a quorum; each line says which."""
    told = [finding for finding in declared(METAL) if finding.area == "losing"]
    assert {finding.grade for finding in told} == {"pass"}
    assert len(told) == len(METAL.vendors)


def test_a_fleet_that_could_not_seal() -> None:
    """With two vaults, losing either one's vendor is a warning that says how many are needed."""
    (finding,) = of(declared(HOBBY), "losing", "google")
    assert (finding.grade, "takes 2" in finding.said) == ("warn", True)


def test_no_site_left_fails() -> None:
    """A fleet with one site fails for that site's vendor."""
    alone = replace(METAL, sites=METAL.sites[:1])
    assert of(declared(alone), "losing", "amazon")[0].grade == "fail"


def test_one_company_is_told() -> None:
    """A vault's vendor that belongs to the primary's company is no refuge."""
    vendors = tuple(replace(v, parent="amazon") if v.name == "wasabi" else v for v in METAL.vendors)
    assert of(declared(replace(METAL, vendors=vendors)), "independence", "wasabi")[0].grade == "warn"


@pytest.mark.parametrize(
    ("endpoint", "lab", "told"),
    [
        ("http://s3.example.net", False, True),
        ("http://8.8.8.8:9000", False, True),
        ("https://s3.example.net", False, False),
        ("http://127.0.0.1:9000", False, False),
        ("http://10.0.0.5", False, False),
        ("http://s3.example.net", True, False),
    ],
)
def test_a_vault_that_is_asked_in_the_clear(endpoint: str, *, lab: bool, told: bool) -> None:
    """Plain HTTP to a public host is a warning; within a lab, this machine or a private network it is none."""
    vaults = (replace(METAL.vaults[0], endpoint=endpoint), *METAL.vaults[1:])
    found = of(declared(replace(METAL, vaults=vaults, lab=lab)), "vault", METAL.vaults[0].name)
    assert [finding.grade for finding in found if "without TLS" in finding.said] == ["warn"] * told


def test_a_name_that_lives_longer_than_the_promise_fails() -> None:
    """A TTL above the promised time makes the promise impossible."""
    slow = replace(METAL, names=replace(METAL.names, ttl_s=3600))
    assert of(declared(slow), "name", "forum.example")[0].grade == "fail"


def test_a_mirror_is_tried_and_told_apart() -> None:
    """What it need not do is said and excused; nothing there yet, and one that does not answer, are no pass."""
    (finding,) = of(seen(), "vault", "attic")
    assert (finding.grade, "never counts in n" in finding.said) == ("pass", True)
    assert "conditional-create: fail, 501" in finding.said
    assert [f.grade for f in of(seen(mirrors={"attic": None}), "vault", "attic")] == ["pass", "warn"]
    assert [f.grade for f in of(seen(mirrors={"attic": Unknown("no answer")}), "vault", "attic")] == ["pass", "unknown"]
    lost = Probe("attic", (Trial("read-after-write", "fail", "gone", "See its endpoint."),), mirror=True)
    assert [f.grade for f in of(seen(probes={"attic": lost}), "vault", "attic")] == ["fail"]


def test_one_kind_of_snapshot_says_nothing_of_hosts() -> None:
    """Labels that agree pass by themselves; that a host is of the same kind is said only by the host."""
    found = {f.subject: f for f in seen(hosts={SITE: VERSIONS}) if f.area == "versions"}
    assert (found["snapshots"].grade, found[SITE].grade) == ("pass", "pass")
    assert {found[site.name].grade for site in METAL.sites if site.name != SITE} == {"unknown"}
    assert not [f for f in found.values() if "everywhere" in f.said]


def test_a_cold_site_without_a_host_is_as_declared() -> None:
    """Nothing runs there until a failover, which is no finding; at a hot standby, or where the app should run, it is."""
    first, *_, last = METAL.sites
    looked = seen(hosts={site.name: None for site in METAL.sites})
    (cold,) = of(looked, "versions", last.name)
    assert (cold.grade, cold.next) == ("pass", "")
    assert "rehearse --to" in cold.said
    assert [found.grade for found in of(looked, "versions", first.name)] == ["unknown"]
    hot = replace(METAL, sites=(*METAL.sites[:-1], replace(last, standby="hot")))
    facts = Seen(versions={"wasabi": VERSIONS}, hosts={last.name: None})
    told = observed(hot, Survey(0.0), facts, load_prices())
    assert [found.grade for found in of(told, "versions", last.name)] == ["unknown"]


def test_a_quota_says_since_when_it_leaves_room() -> None:
    """Counted from this machine's own looks, without a break; what fails, or is no quota, says nothing of the kind."""
    log, day = Stage(simulated_fleet()).world.log, 86_400.0
    room, full = Trial("quota of processors", "pass", "8 left"), Trial("quota of processors", "fail", "none left")
    other = Trial("region", "pass", "there")

    def told(at: float, *trials: Trial) -> list[str]:
        found = remembered(log, at * day, Seen(vendors={"belgium": trials, "frankfurt": Unknown("no answer")})).vendors
        assert isinstance(found["frankfurt"], Unknown)
        trials_told = found["belgium"]
        assert not isinstance(trials_told, Unknown)
        return [trial.said for trial in trials_told]

    assert told(0, room, other) == ["8 left; so for 0 days, as far as this machine asked", "there"]
    assert told(3, full) == ["none left"]
    assert told(5, room)[0].startswith("8 left; so for 0 days")
    assert told(9, room)[0].startswith("8 left; so for 4 days")


def test_all_is_well() -> None:
    """Everything seen and right: nothing fails; what nobody asked is unknown, not passed."""
    asked_elsewhere = {"vendor", "restore", "egress"}
    grades = {finding.grade for finding in seen() if finding.area not in asked_elsewhere}
    assert grades == {"pass"}
    assert {finding.grade for finding in seen() if finding.area in asked_elsewhere} == {"unknown"}


@pytest.mark.parametrize(
    ("changes", "area", "subject", "grade"),
    [
        ({"accounts": {"amazon": False}}, "account", "amazon", "fail"),
        ({"accounts": {"amazon": Unknown("timeout")}}, "account", "amazon", "unknown"),
        (
            {"vaults": {"wasabi": VaultReading(Unknown("403"), Unknown("403"), Unknown("403"))}},
            "vault",
            "wasabi",
            "fail",
        ),
        ({"probes": {"wasabi": TWICE}}, "vault", "wasabi", "fail"),
        ({"probes": {}}, "vault", "wasabi", "unknown"),
        ({"skew_s": {"wasabi": -3600.0}}, "clock", "wasabi", "fail"),
        ({"skew_s": {}}, "clock", "wasabi", "unknown"),
        (
            {"versions": {"wasabi": VERSIONS, "google": {**VERSIONS, "postgres": "16.2"}}},
            "versions",
            "snapshots",
            "fail",
        ),
        (
            {"versions": {"wasabi": VERSIONS, "google": {**VERSIONS, "postgres": "15.19"}}},
            "versions",
            "snapshots",
            "warn",
        ),
        ({"versions": {}}, "versions", "snapshots", "unknown"),
        ({"hosts": {SITE: {**VERSIONS, "postgres": "16.2"}}}, "versions", SITE, "fail"),
        ({"hosts": {SITE: {**VERSIONS, "postgres": "15.19"}}}, "versions", SITE, "warn"),
        ({"hosts": {SITE: {**VERSIONS, "arch": "aarch64"}}}, "versions", SITE, "fail"),
        ({"hosts": {SITE: {**VERSIONS, "collation": "C.UTF-8 2.37"}}}, "versions", SITE, "fail"),
        ({"hosts": {SITE: {"arch": "x86_64", "postgres": "15.18"}}}, "versions", SITE, "unknown"),
        ({"hosts": {SITE: Unknown("nothing runs there")}}, "versions", SITE, "unknown"),
        ({"hosts": {}}, "versions", SITE, "unknown"),
        ({"hosts": {SITE: VERSIONS}, "versions": {}}, "versions", SITE, "unknown"),
        ({"plugins": {"aws": False}}, "provider", "aws", "fail"),
        ({"lacking": ("dns/google.txt is not there",)}, "kit", "credentials", "fail"),
        ({"zones": {"google": ZoneReading(Unknown("401"))}}, "name", "google", "fail"),
        (
            {"zones": {"google": ZoneReading(("192.0.2.1",)), "cloudflare": ZoneReading(("192.0.2.2",))}},
            "name",
            "forum.example",
            "fail",
        ),
    ],
)
def test_what_is_not_well_is_named(changes: dict[str, Any], area: str, subject: str, grade: str) -> None:
    """Each thing that is not as it should be has a line, a grade and something to do."""
    (finding,) = [found for found in of(seen(**changes), area, subject) if found.grade != "pass"]
    assert finding.grade == grade
    assert finding.said
    assert finding.next or grade == "unknown"


def shipping(size: int, told: Mapping[str, Any] | None = None, **facts: Any) -> tuple[Finding, ...]:
    """Findings where the primary tells how much it holds, or what `told` says."""
    epoch = EpochRecord(1, "frankfurt", "n", 0, ("wasabi",), 1, 1, 0.0, "")
    site = SiteReading(None, True, told or {"db_bytes": size, "media_bytes": 0})
    vaults = {"wasabi": VaultReading(epoch=epoch, snapshot=None, ledger=0)}
    return seen(vaults=vaults, sites={"frankfurt": site}, **facts)


def test_the_arithmetic_of_a_restore() -> None:
    """Size by rate against the promise, and each vault's egress with its source; no price known is unknown."""
    found = shipping(10_000_000_000, rates={"wasabi": 10_000_000.0, "google": None})
    (time,) = [finding for finding in found if finding.area == "restore"]
    assert (time.grade, "10 GB at 80 Mbit/s" in time.said, "take 1000 s; 90 s are promised" in time.said) == (
        "warn",
        True,
        True,
    )
    egress = {finding.subject: (finding.grade, finding.said) for finding in found if finding.area == "egress"}
    assert egress["google"][1].startswith("reading 10 GB once costs 1.20 USD (cloud.google.com")
    assert egress["scaleway"][0] == "unknown"
    quick = [f for f in shipping(80_000_000, rates={"wasabi": 10_000_000.0}) if f.area == "restore"]
    assert [finding.grade for finding in quick] == ["pass"]
    assert [f.grade for f in shipping(1, rates={"wasabi": None}) if f.area == "restore"] == ["unknown"]
    earlier = shipping(0, {"db_bytes": 1}, rates={"wasabi": 1.0})
    (unknown,) = [finding for finding in earlier if finding.area == "restore"]
    assert (unknown.grade, "no primary tells its size" in unknown.said) == ("unknown", True)


def test_what_a_vendor_told_is_passed_on() -> None:
    """Each question with its outcome and what to do; a vendor that nobody asks is unknown."""
    told = (Trial("quota of processors", "fail", "4 allowed, 4 in use, 4 needed", "Ask for more now."),)
    found = [f for f in seen(vendors={"frankfurt": told, "belgium": Unknown("not asked")}) if f.area == "vendor"]
    assert [(f.subject, f.grade) for f in found] == [("frankfurt", "fail"), ("belgium", "unknown")]
    assert found[0].next == "Ask for more now."


def test_what_a_thief_of_the_kit_could_destroy_is_said_offline() -> None:
    """Without any lock the file alone tells it, by the hazard's name; with one lock, and in a lab, nothing is said."""
    (told,) = of(declared(HOBBY), "vault", "all copies")
    assert (told.grade, told.said.split(":")[0]) == ("warn", "kit-destroys-copies")
    for fleet in (METAL, replace(HOBBY, lab=True)):
        assert of(declared(fleet), "vault", "all copies") == []


def test_a_vault_at_aws_without_a_boundary_is_told() -> None:
    """The key that makes its users could make an administrator; with a boundary, and elsewhere, nothing is said."""
    bare = replace(METAL.vaults[0], name="elm", stack="aws", boundary="")
    (told,) = [f for f in of(declared(replace(METAL, vaults=(bare,))), "vault", "elm") if "boundary" in f.said]
    assert (told.grade, "docs/vendors/aws.md" in told.next) == ("warn", True)
    for spec in (replace(bare, boundary="arn:aws:iam::123456789012:policy/b"), replace(bare, stack="s3")):
        assert not [f for f in declared(replace(METAL, vaults=(spec,))) if "boundary" in f.said]


def test_whose_disks_can_be_read_is_said() -> None:
    """Encrypted by the vendor passes, not at all warns, somebody's own metal is unknown; with a key of ours each passes."""
    sites = tuple(
        replace(METAL.sites[0], name=stack, stack=stack) for stack in ("aws", "hetzner", "openstack", "baremetal")
    )
    found = {f.subject: f.grade for f in declared(replace(METAL, sites=sites)) if f.area == "disk"}
    assert found == {"aws": "pass", "hetzner": "warn", "openstack": "warn", "baremetal": "unknown"}
    keyed = tuple(replace(site, disk_key=True) for site in sites)
    found = {f.subject: f.grade for f in declared(replace(METAL, sites=keyed)) if f.area == "disk"}
    assert found == dict.fromkeys(("aws", "hetzner", "openstack", "baremetal"), "pass")
