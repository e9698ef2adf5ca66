"""Locked out, taken back, and told to go: moves with nothing lost, as an operator types them, while users write all the time."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pyrage
import pytest

from resilience.adapters.plaza_workload import user
from resilience.lab import Lab, places, processes
from resilience.replication import lsn
from tests.lab.test_failover import Operator, another_machine, killed_at
from tests.lab.test_lab_aside import ask
from tests.lab.users import appoint, as_users, join, lost_of, on_host, writing
from tests.replication.harness import wait_until
from tests.sim.test_runbooks import commands

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
ADDRESSES = {"acorn": "198.18.1.100", "cedar": "198.18.3.100"}
PAUSE = ("closed", "read-only"), ("opened", "writes")
"""Between these lines of a switchover's journal nobody can write."""

CLOSED = f"""table inet closed {{
  chain input {{
    type filter hook input priority filter
    tcp dport {places.DNS_API_PORT} reject with icmpx type host-unreachable
  }}
}}"""
"""A registrar that lets nobody in; the registry's name server goes on."""
FETCH = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=20)
except urllib.error.HTTPError:
    print("answers")
except OSError as error:
    print(error)
else:
    print("answers")
"""
SYNCED = "cd /; runuser -u postgres -- psql -XAtc 'SHOW recovery_init_sync_method' plaza"
STARTED = "systemctl start resilience-postgres 2>&1"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A fleet whose primary is up at acorn; what is ours on cedar's disk is encrypted."""
    lab = Lab(tmp_path_factory.mktemp("fleet") / "lab")
    lab.up(keep=True)
    lab.fleet_file.write_text(lab.fleet_file.read_text().replace('"baremetal"', '"baremetal"\ndisk_key = true'))
    (lab.directory / "kit/hold.pub").write_text(str(pyrage.x25519.Identity.generate().to_public()))
    try:
        someone = Operator(lab)
        someone.run("up", "acorn")
        join(lab)
        appoint(lab, ADDRESSES["acorn"], user(0)[0])
        yield someone
    finally:
        left = lab.down()
    assert left == []


def test_the_registrar_is_gone(operator: Operator) -> None:
    """Its page, typed: nobody is let in there any more, from here to this module's end, and users are still led to the site.

    What comes next leaves a vendor that serves the name: the parent zone names another one, so nobody needs the registrar.
    """
    at = f"http://{places.REGISTRY.dns_address}:{places.DNS_API_PORT}"
    text = operator.file.read_text()
    operator.file.write_text(text.replace("registrar =", f'rdap = "{at}/domain/{places.NAME}"\nregistrar =', 1))
    assert as_users(operator.lab, FETCH, at) == "answers\n"
    processes.run(["nft", "-f", "-"], space=places.REGISTRY.space, stdin=CLOSED)
    assert "No route to host" in as_users(operator.lab, FETCH, at)
    typed(operator, "registrar-gone")
    assert "does not tell how the domain stands" in operator.start("check").communicate(timeout=300)[0]


def test_locked_out_of_a_site_that_lives(operator: Operator) -> None:
    """Only acorn's control plane is gone: who goes on there is refused in time, and nothing that anybody was told is kept is lost."""
    with writing(operator.lab) as users:
        operator.lab.inject("control-plane", ["acorn"])
        users.try_old_site(ADDRESSES["acorn"])
        words = ("failover", "--to", "cedar", "--lost", "acorn")
        operator.run(*words, *operator.approval(*words))
        attempts, acknowledged = users.end_old_site()
        writes, missing = lost_of(users)
        assert (missing, users.missing(acknowledged)) == ([], ([], []))
    assert len(acknowledged) > 10
    assert attempts > len(acknowledged) + 20, "they were refused, and went on"
    assert len(writes) > 100
    left = on_host(operator.lab, ADDRESSES["acorn"], "systemctl is-active resilience-postgres || true")
    assert left.strip() in {"inactive", "failed"}
    assert operator.run("status", "--lost", "acorn")["sites"]["cedar"]["serving"] is True


def test_a_power_cut_where_the_disk_locks(operator: Operator) -> None:
    """After it the disk is locked, `status` says so, and `up` hands the key over and lets the site serve."""
    operator.lab.power_cut("cedar", "cedar-1")
    cut = operator.run("status", "--lost", "acorn")["sites"]["cedar"]
    assert (cut["serving"], cut["locked"]) == (False, True)
    operator.run("up", "cedar", "--lost", "acorn")
    assert operator.run("status", "--lost", "acorn")["sites"]["cedar"]["serving"] is True
    assert ask(operator.lab, SYNCED).strip() == "syncfs", "file by file takes 10 s and more, and nobody can write"


def test_a_vendor_that_relents(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page, typed: the old site is a stranger whose data is set aside; home again, with no lost write."""
    monkeypatch.setenv("COLUMNS", "200")
    said = operator.start("lab", "relent", "acorn", "--dir", str(operator.lab.directory)).communicate(timeout=300)
    assert "opened the account again" in said[0], said
    before = len(operator.journal())
    with writing(operator.lab) as users:
        typed(operator, "vendor-relents", birch="cedar")
        writes, missing = lost_of(users)
    assert missing == []
    assert len(writes) > 100
    done = {e["action"]: e["facts"] for e in operator.journal()[before:] if e["kind"] == "step-done"}
    assert str(done["clear"]["aside"]).startswith("/var/lib/resilience/aside/")
    assert done["ahead"]["fetched"] > done["first"]["fetched"], "before anybody was kept from writing"
    assert (done["ahead"]["left"], done["media"]["fetched"]) == (0, 0), "what came since is among the newest"
    assert lsn.parse(done["restore"]["end_lsn"]) >= lsn.parse(done["stand-down"]["end_lsn"])
    seen = operator.run("status")
    assert seen["sites"]["acorn"]["serving"] is True
    assert {zone["addresses"][0] for zone in seen["zones"].values()} == {ADDRESSES["acorn"]}
    assert "is masked" in ask(operator.lab, STARTED), "nobody starts it there by hand"
    operator.lab.power_cut("cedar", "cedar-1")
    assert "is masked" in ask(operator.lab, STARTED), "nor after a boot; the next test comes back to it"


def typed(operator: Operator, page: str, **meant: str) -> None:
    """Type what a runbook says, line by line: each ends well, or shows a plan whose digest and hazards go into the next."""
    digest, hazards = "", list[str]()
    for line in commands(page):
        filled = line.replace("DIGEST", digest).replace("--accept HAZARD", " ".join(f"--accept {h}" for h in hazards))
        for word, value in meant.items():
            filled = filled.replace(word, value)
        command = operator.start(*shlex.split(filled)[1:])
        out, err = command.communicate(timeout=800)
        shown = command.returncode == 2 and "No plan was approved." in err and "DIGEST" not in line
        assert command.returncode == 0 or shown, (line, out, err)
        if shown:
            digest = re.findall(r"\b[0-9a-f]{12}\b", out + err)[-1]
            hazards = re.findall(r"with --accept ([a-z-]+)", " ".join((out + err).split()))


POSTING = """
import json
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import enter
client = Client("http://plaza.test")
enter(client)
print(json.dumps([client.post(f"Number {n} of what the letter names")["id"] for n in range(98)]))
"""
DECIDING = """
from resilience.adapters.plaza_client import MODERATION, SCOPES, Client
from resilience.adapters.plaza_workload import user
client = Client("http://plaza.test")
client.log_in(*user(0), scopes=f"{SCOPES} {MODERATION}")
choices = [{"action": "takedown", "rule": "2", "reason": "against the law", "hold": True}] * 8
choices += [{"action": "keep", "rule": "none", "reason": ""}] * 90
while mine := client.call("claim", "POST", "/api/v1/admin/reports/claim", data={"count": 20}).json():
    for report in mine:
        client.call("decide", "POST", f"/api/v1/admin/reports/{report['id']}/decide", json=choices.pop())
assert not choices
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


@pytest.fixture
def letter(operator: Operator, tmp_path: Path) -> Path:
    """A letter of today that names 98 posts."""
    posts = [f"  http://plaza.test/@walker/{post}" for post in json.loads(as_users(operator.lab, POSTING))]
    letter = tmp_path / "letter.eml"
    letter.write_text(LETTER.format(sent=format_datetime(datetime.now(UTC)), posts="\n".join(posts)))
    return letter


def test_thirty_hours_and_ninety_eight_posts(operator: Operator, letter: Path, tmp_path: Path) -> None:
    """The letter's posts are before the moderators, who decide each; the move beats the deadline, and no write is lost on it.

    Users write the whole time. It goes back to cedar, where what an earlier time left is set aside, on the disk that locks.
    """
    with writing(operator.lab) as users:
        added = operator.run("notice", "add", str(letter))
        assert len(added["posts"]) == 98
        assert (added["queue"]["named"], added["queue"]["open"], added["queue"]["unknown"]) == (98, 98, 0)
        assert 29.9 * 3600 < added["deadline_at"] - time.time() < 30 * 3600
        assert [notice["reference"] for notice in operator.run("notice", "list")] == ["98-posts@acorn.test"]
        as_users(operator.lab, DECIDING)
        before = len(operator.journal())
        evacuated(operator, to="cedar")
        wait_until(lambda: users.recent(5.0) > 0, "users to write on")
        writes, missing = lost_of(users)
    assert missing == []
    moved = operator.journal()[before:]
    paused = [next(e["at"] for e in moved if (e["kind"], e.get("stage")) == end) for end in PAUSE]
    assert sum(write["at"] < paused[0] for write in writes) > 100
    assert sum(write["at"] > paused[1] for write in writes) > 0
    done = {e["action"]: e for e in moved if e["kind"] == "step-done"}
    assert str(done["clear"]["facts"]["aside"]).startswith("/var/lib/resilience/aside/")
    brought = done["ahead"]["facts"]
    assert done["ahead"]["at"] < paused[0]
    assert (brought["left"], done["media"]["facts"]["fetched"]) == (0, 0), "what came since is among the newest"
    assert brought["fetched"] > done["first"]["facts"]["fetched"]
    assert [e["number"] for e in operator.journal() if e["kind"] == "sealing"] == [1, 2, 3, 4]
    operator.run("notice", "evidence", "--to", str(tmp_path / "evidence.zip"))
    with zipfile.ZipFile(tmp_path / "evidence.zip") as evidence:
        told = json.loads(evidence.read("evidence.json"))
    notice = told["notice"]
    assert (notice["named"], notice["kept"], notice["removed"], notice["open"], len(told["posts"])) == (
        98,
        90,
        8,
        0,
        98,
    )
    assert all(post["decided_at"] for post in notice["posts"])
    assert operator.run("evacuate", "98-posts@acorn.test") == {"site": "cedar", "vendor": "cedar"}


def evacuated(operator: Operator, to: str) -> None:
    """The plan is read, what goes first and the deadline with it, and done."""
    shown = operator.start("evacuate", "--to", to, "--json")
    out, said = shown.communicate(timeout=300)
    assert shown.returncode == 2, (out, said)
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["database", "ledger", "keys"]
    assert "before the deadline" in said
    approved = operator.approving(json.loads(out))
    assert operator.run("evacuate", "--to", to, *approved) == {"site": to, "vendor": to}


def test_a_forced_vault_set_is_taken_up_by_another_machine(operator: Operator, tmp_path: Path) -> None:
    """Elm is gone and birch alone can't tell who may write: forced, killed -9 once it is sealed, and done elsewhere by the kit."""
    shutil.copytree(operator.file.parent / "kit", tmp_path / "kit")
    operator.lab.inject("control-plane", ["elm"])
    words = ("protect", "--lost", "elm", "--force")
    approved = operator.approval(*words)
    assert "split-brain" in approved
    killed_at(operator, "turn", *words, *approved)
    another_machine(operator, tmp_path / "kit", tmp_path / "first")
    again = operator.approval(*words)
    assert again != approved
    assert operator.run(*words, *again)["site"] == "cedar"
    assert not [e for e in operator.journal() if e["kind"] == "sealing"], "it goes on under the epoch that is there"
    with writing(operator.lab) as users:
        writes, missing = lost_of(users)
    assert (len(writes) > 0, missing) == (True, [])
    assert operator.run("status", "--lost", "elm")["vaults"]["birch"]["epoch"]["vaults"] == ["birch"]
