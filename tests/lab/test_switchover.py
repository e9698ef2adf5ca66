"""A planned move and back, as an operator types it, with the real data plane."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from resilience.lab import Lab
from tests.lab.test_failover import Operator
from tests.lab.test_lab_aside import ask

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
ADDRESSES = {"acorn": "198.18.1.100", "cedar": "198.18.3.100"}

STARTED = "systemctl start resilience-postgres 2>&1"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A fleet whose first day was at cedar; what is ours on the disk there is encrypted."""
    lab = Lab(tmp_path_factory.mktemp("fleet") / "lab")
    lab.up(keep=True)
    lab.fleet_file.write_text(lab.fleet_file.read_text().replace('"baremetal"', '"baremetal"\ndisk_key = true'))
    try:
        someone = Operator(lab)
        someone.run("up", "cedar")
        yield someone
    finally:
        left = lab.down()
    assert left == []


def switch(operator: Operator, to: str) -> list[dict[str, Any]]:
    """Read the plan, approve it with all its hazards, do it; the lines that it wrote."""
    shown = operator.start("switchover", "--to", to, "--json")
    out, _ = shown.communicate(timeout=300)
    assert shown.returncode == 2
    digest = json.loads(out)["next"].split()[-1]
    plan = json.loads((operator.file.parent / "plans" / f"{digest}.json").read_text())
    accepted = [word for hazard in plan["hazards"] for word in ("--accept", hazard["name"])]
    before = len(operator.journal())
    assert operator.run("switchover", "--to", to, "--digest", digest, *accepted)["site"] == to
    return operator.journal()[before:]


def test_a_first_day_on_a_disk_that_locks(operator: Operator) -> None:
    """Cedar serves; after a power cut its disk is locked, `status` says so, and `up` hands the key over and lets it serve."""
    operator.lab.power_cut("cedar", "cedar-1")
    cut = operator.run("status")["sites"]["cedar"]
    assert (cut["serving"], cut["locked"]) == (False, True)
    operator.run("up", "cedar")
    assert operator.run("status")["sites"]["cedar"]["serving"] is True


def test_moved_home(operator: Operator) -> None:
    """To acorn: the old site says what it wrote last, the vaults reach that far, the name moves."""
    there = switch(operator, "acorn")
    stood = next(e for e in there if e["kind"] == "stood-down")
    assert stood["site"] == "cedar"
    seen = operator.run("status")
    assert seen["sites"]["acorn"]["serving"] is True
    assert {zone["addresses"][0] for zone in seen["zones"].values()} == {ADDRESSES["acorn"]}
    assert "is masked" in ask(operator.lab, STARTED), "nobody starts it there by hand"
    operator.lab.power_cut("cedar", "cedar-1")
    assert "is masked" in ask(operator.lab, STARTED), "nor after a boot; the next test comes back to it"


POSTING = """
import json, sys
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import enter
client = Client("http://plaza.test")
enter(client)
print(json.dumps([client.post(f"Number {n} of what the letter names")["id"] for n in range(98)]))
"""
LETTER = """\
From: Trust and Safety <trust@acorn.test>
To: operator@plaza.test
Subject: Suspension of your account
Date: {sent}
Message-ID: <98-posts@acorn.test>

Dear customer, over the last weeks we have reported 98 posts to you that break our rules:
{posts}
We plan to suspend your account within 30 hours of this notice.
"""


def test_thirty_hours_and_ninety_eight_posts(operator: Operator, tmp_path: Path) -> None:
    """The letter's posts are before the moderators, decided ones in the evidence, and the move beats the deadline.

    It goes back to cedar, where what an earlier time left is set aside, on the disk that locks.
    """
    argv = [sys.executable, "-c", POSTING]
    asked = operator.lab.popen_as_users(argv, stdout=subprocess.PIPE, text=True)
    ids = json.loads(asked.communicate(timeout=300)[0])
    posts = "\n".join(f"  http://plaza.test/@walker/{post}" for post in ids)
    letter = tmp_path / "letter.eml"
    letter.write_text(LETTER.format(sent=format_datetime(datetime.now(UTC)), posts=posts))
    added = operator.run("notice", "add", str(letter))
    assert len(added["posts"]) == 98
    assert (added["queue"]["named"], added["queue"]["open"], added["queue"]["unknown"]) == (98, 98, 0)
    assert 29.9 * 3600 < added["deadline_at"] - time.time() < 30 * 3600
    assert [notice["reference"] for notice in operator.run("notice", "list")] == ["98-posts@acorn.test"]
    shown = operator.start("evacuate", "--to", "cedar", "--json")
    out, said = shown.communicate(timeout=300)
    assert shown.returncode == 2, (out, said)
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["database", "ledger", "keys"]
    assert "before the deadline" in said
    digest = json.loads(out)["next"].split()[-1]
    plan = json.loads((operator.file.parent / "plans" / f"{digest}.json").read_text())
    accepted = [word for hazard in plan["hazards"] for word in ("--accept", hazard["name"])]
    moved = operator.run("evacuate", "--to", "cedar", "--digest", digest, *accepted)
    assert moved == {"site": "cedar", "vendor": "cedar"}
    aside = [e for e in operator.journal() if e["kind"] == "step-done" and e["action"] == "clear"][-1]
    assert str(aside["facts"]["aside"]).startswith("/var/lib/resilience/aside/")
    assert [e["number"] for e in operator.journal() if e["kind"] == "sealing"] == [1, 2, 3]
    operator.run("notice", "evidence", "--to", str(tmp_path / "evidence.zip"))
    with zipfile.ZipFile(tmp_path / "evidence.zip") as evidence:
        told = json.loads(evidence.read("evidence.json"))
    assert (told["notice"]["named"], len(told["posts"])) == (98, 98)
    assert operator.run("evacuate") == moved
