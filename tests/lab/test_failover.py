"""`up`, `plan`, `failover` as an operator types them, with bad luck on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience.lab import Lab
from resilience.replication import lsn
from tests.lab.copies import posts_in
from tests.lab.test_lab_aside import ask
from tests.lab.users import as_users
from tests.replication.harness import site_folder, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
HAZARDS = ["loses-writes", "no-spare-vault", "old-name-served", "never-run-here"]
ACORN = "198.18.1.100"
ACCEPTED = [word for name in HAZARDS for word in ("--accept", name)]
CHECKOUT = str(Path(__file__).resolve().parents[2])


def accepting(plan: dict[str, Any], *but: str) -> list[str]:
    """The words that accept each of a plan's hazards, but for these."""
    return [word for hazard in plan["hazards"] if hazard["name"] not in but for word in ("--accept", hazard["name"])]


class Operator:
    """Somebody at the command line of one fleet."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.file = lab.fleet_file

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        argv = [sys.executable, "-c", "from resilience.cli import main; main()", "--fleet", str(self.file), *words]
        env = {**os.environ, "PYTHONPATH": CHECKOUT}
        return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_until_answered(self, *words: str) -> None:
        """Run a command again until a vault that is back answers it, for a minute."""
        limit, answered = time.monotonic() + 60, False
        while not answered:
            assert time.monotonic() < limit, words
            command = self.start(*words, "--json")
            command.communicate(timeout=800)
            answered = command.returncode == 0

    def run(self, *words: str, status: int = 0) -> Any:
        """Run a command with --json to its end; its answer."""
        command = self.start(*words, "--json")
        out, err = command.communicate(timeout=800)
        assert command.returncode == status, (out, err)
        return json.loads(out)

    def approval(self, *words: str) -> tuple[str, ...]:
        """Run a command that shows a plan and does nothing; the words that approve that plan, every hazard named."""
        return self.approving(self.run(*words, status=2))

    def approving(self, shown: dict[str, Any]) -> tuple[str, ...]:
        """The same, of what such a command answered."""
        digest = shown["next"].split()[-1]
        plan = json.loads((self.file.parent / "plans" / f"{digest}.json").read_text())
        return ("--digest", digest, *accepting(plan))

    def types(self, *words: str) -> str:
        """Run a command to its end as a person does; what it prints."""
        command = self.start(*words)
        out, err = command.communicate(timeout=800)
        assert command.returncode == 0, (out, err)
        return out

    def asks(self, method: str, path: str) -> int:
        """A user's request at acorn; the status of the answer."""
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, f"http://198.18.1.100{path}"]
        asked = self.lab.popen_as_users(argv, stdout=subprocess.PIPE, text=True)
        return int(asked.communicate(timeout=120)[0])

    def journal(self) -> list[dict[str, Any]]:
        """What was done to the fleet."""
        return [json.loads(line) for line in (self.file.parent / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A fleet whose primary is up at acorn."""
    lab = Lab(tmp_path_factory.mktemp("fleet") / "lab")
    lab.up(keep=True)
    try:
        someone = Operator(lab)
        someone.run("kit", "add", "leaver")
        someone.run("up", "acorn")
        yield someone
    finally:
        left = lab.down()
    assert left == []


WRITTEN = "cd /; runuser -u postgres -- psql -XAtc \"SELECT pg_logical_emit_message(true, 'test', 'written')\" plaza"
OPENED = """
import json, sys, time
from pathlib import Path
from resilience import config
from resilience.adapters.kit import Kit
from resilience.errors import VaultError
from resilience.lab import Lab
from resilience.replication import chunk, layout, lsn, seals
from resilience.replication.vaults import open_vault
Lab(Path(sys.argv[1])).enter_operator()
fleet, kit = config.load(Path(sys.argv[1]) / "fleet.toml"), Kit(Path(sys.argv[1]) / "kit")
vaults = [open_vault(spec, kit.vault(spec.name, "reader")) for spec in fleet.sealing]
people = [path.stem for path in (kit.directory / "age").glob("*.txt") if path.stem != "recipients"]
def opens(body, name):
    try:
        return bool(seals.decrypt(body, kit.identity(name)))
    except VaultError:
        return False
def told(vault, at):
    key = [key for key in vault.list("wal/") if layout.chunk_start(key) is not None][at]
    header, body = chunk.split(vault.get(key))
    return lsn.parse(json.loads(header)["end"]), sorted(name for name in people if opens(body, name))
until = time.monotonic() + 60
while any(told(vault, -1)[0] < int(sys.argv[2]) for vault in vaults):
    assert time.monotonic() < until
    time.sleep(0.1)
print(json.dumps([[told(vault, at)[1] for at in (0, -1)] for vault in vaults]))
"""


def test_up_again_changes_nothing_but_who_can_open_copies(operator: Operator) -> None:
    """The second `up` of the same site finds everything there; who was added opens what is put from then on, who was removed does not."""
    operator.run("kit", "add", "escrow")
    operator.run("kit", "remove", "leaver")
    outputs = operator.run("up", "acorn")
    assert outputs["addresses"] == ["198.18.1.100"]
    sealed = [e for e in operator.journal() if e["kind"] == "sealing"]
    assert len(sealed) == 1
    position = lsn.parse(ask(operator.lab, WRITTEN, ACORN).strip())
    argv = [sys.executable, "-c", OPENED, str(operator.lab.directory), str(position)]
    told = subprocess.run(argv, env={**os.environ, "PYTHONPATH": CHECKOUT}, check=True, capture_output=True, text=True)
    stay = ["operator", "standby"]
    assert json.loads(told.stdout) == [[["leaver", *stay], ["escrow", *stay]]] * 3


def test_status_says_who_may_write(operator: Operator) -> None:
    """Every vault shows epoch 1 for acorn, a labelled snapshot, and the name leads there."""
    seen = operator.run("status")
    assert {v["epoch"]["site"] for v in seen["vaults"].values()} == {"acorn"}
    assert all(v["snapshot"] for v in seen["vaults"].values())
    assert seen["zones"]["dover"]["addresses"] == ["198.18.1.100"]


def test_the_gate_is_closed_and_opened(operator: Operator) -> None:
    """At reading, a post is refused with 503 and reading goes on; opened again, everything is as before."""
    assert operator.run("open", "read-only") == {"site": "acorn", "stage": "read-only"}
    assert operator.asks("GET", "/about") == 200
    assert operator.asks("POST", "/api/v1/apps") == 503
    assert operator.run("open", "writes")["stage"] == "writes"
    assert operator.asks("POST", "/api/v1/accounts") == 503
    assert operator.asks("POST", "/api/v1/apps") == 422
    assert operator.run("open", "sign-ups", status=5) == {"site": "acorn", "stage": "writes"}, "nobody moderates"


def test_everything_a_failover_leans_on_is_well(operator: Operator) -> None:
    """`check` tries keys, accounts, every principal at every vault, clocks, names, hosts: all passes, also sites where none runs."""
    found = operator.run("check")["findings"]
    assert [f for f in found if f["grade"] != "pass"] == []
    assert [f["grade"] for f in found if (f["area"], f["subject"]) == ("versions", "acorn")] == ["pass"]
    assert {"losing", "kit", "account", "vault", "clock", "versions", "name"} <= {f["area"] for f in found}


DELETING = """
import io
from PIL import Image
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import enter
client, picture = Client("http://plaza.test"), io.BytesIO()
enter(client)
Image.new("RGB", (64, 64), (12, 34, 56)).save(picture, "PNG")
status = client.post("Soon to be gone.", [client.upload(picture.getvalue(), "A plain square")["id"]])
client.call("delete a post", "DELETE", f"/api/v1/statuses/{status['id']}")
"""


def test_a_deleted_picture_leaves_every_vault(operator: Operator) -> None:
    """Its author deletes the post; once the ledger says so in the vaults, `erase` removes it from all of them."""
    text = operator.file.read_text()
    operator.file.write_text(text.replace("[replication]", "[replication]\nerase_after_days = 0", 1))
    argv = [sys.executable, "-c", DELETING]
    done = operator.lab.popen_as_users(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.communicate(timeout=300)[1] == ""
    limit, ready = time.monotonic() + 300, 0
    while not ready:
        assert time.monotonic() < limit
        ready = min(facts["would_erase"] for facts in operator.run("erase")["vaults"].values())
    assert {facts["erased"] for facts in operator.run("erase", "--yes")["vaults"].values()} == {ready}
    assert {facts["would_erase"] for facts in operator.run("erase")["vaults"].values()} == {0}
    operator.file.write_text(text)


POSTING = """
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import enter
client, count = Client("http://plaza.test"), 0
enter(client)
while True:
    client.post(f"Number {count}.", [])
    count += 1
    print(count, flush=True)
"""


def test_a_vault_shows_what_the_primary_sees(operator: Operator) -> None:
    """A vault gives back every table as the primary has it, though somebody posts all the time; `status` says so."""
    argv = [sys.executable, "-c", POSTING]
    users = operator.lab.popen_as_users(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert users.stdout is not None
    assert users.stdout.readline() == "1\n"
    found = operator.run("verify", "--vault", "cedar")["cedar"]
    users.terminate()
    assert len(users.communicate(timeout=60)[0].splitlines()) > 2, "nobody wrote meanwhile"
    assert (found["compared"], found["left_out"]) == (True, {}), found
    assert found["compared_tables"] == len(found["tables"]) > 10
    vaults = operator.run("status")["vaults"]
    assert [vaults[name]["compared"] for name in ("birch", "cedar", "elm")] == [None, True, None]
    wait_until(
        lambda: 'vault_verified_time_seconds{vault="cedar"} ' in ask(operator.lab, METRICS, ACORN), "ship's word"
    )


ONE_POST = """
import sys
from resilience.adapters.plaza_client import Client
from resilience.adapters.plaza_users import enter
client = Client("http://plaza.test")
enter(client)
print(client.post(sys.argv[1])["id"])
"""
METRICS = "cat /run/resilience/metrics/ship.prom"
FLUSHED = "cd /; runuser -u postgres -- psql -XAtc 'SELECT pg_current_wal_flush_lsn()' plaza"


def post(operator: Operator) -> int:
    """Somebody posts; the post's number, once it was acknowledged."""
    return int(as_users(operator.lab, ONE_POST, "One of two."))


def test_copies_are_made_proven_gone_back_to_and_given_up(operator: Operator) -> None:
    """`snapshot`, `verify`, `restore --into` at a time and at a position between two posts, and `prune`, as they are typed.

    Once it is pruned the moment before the newest snapshot can't be gone back to any more, and that is said.
    """
    first = post(operator)
    time_between = datetime.now(UTC).isoformat()
    position = ask(operator.lab, FLUSHED, ACORN).strip()
    second = post(operator)
    assert operator.types("snapshot") == "Every vault of the epoch has a snapshot of acorn, and gave it back.\n"
    copied = [e["facts"] for e in operator.journal() if e["kind"] == "step-done" and e["action"] == "protect"][-1]
    assert "untold" not in copied, "the primary's ship knows which vaults gave it back"
    found = operator.run("verify")
    assert set(found) == {"birch", "cedar", "elm"}
    assert [facts for facts in found.values() if not facts["ok"]] == []
    with site_folder() as folder:
        for name, at in (("at-a-time", time_between), ("at-a-position", position)):
            said = operator.types("restore", "--into", str(folder / name), "--at", at)
            assert said.startswith(f"{folder / name / 'pg'} is the database up to "), said
            there = posts_in(folder / name)
            assert first in there, name
            assert second not in there, name
        prunes(operator)
        late = operator.run("restore", "--into", str(folder / "late"), "--at", time_between, status=1)
        assert late["error"].endswith("No vault holds a snapshot from before that that can be used.")


def prunes(operator: Operator) -> None:
    """All before the snapshot that was just proven: first told and left, then removed, then nothing is left to remove."""
    text = operator.file.read_text()
    operator.file.write_text(text.replace("[replication]", "[replication]\nkeep_days = 0.000001", 1))
    told = operator.types("prune").splitlines()
    assert sorted(line.partition(":")[0] for line in told[:-1]) == ["birch", "cedar", "elm"]
    assert all(re.search(r": [1-9]\d* snapshots and [1-9]\d* WAL chunks could go\.$", line) for line in told[:-1]), told
    assert told[-1] == "Nothing was removed. To remove it: resilience prune --yes"
    removed = operator.run("prune", "--yes")
    assert all(facts["removed"] and facts["snapshots"] >= 1 and not facts["held_back"] for facts in removed.values())
    assert {facts["snapshots"] for facts in operator.run("prune").values()} == {0}
    operator.file.write_text(text)


def test_a_failover_needs_the_plan_that_was_read(operator: Operator) -> None:
    """No digest: usage; a stale digest or an open hazard: refused, and nothing was done."""
    before = len(operator.journal())
    plan = operator.run("plan")
    assert [h["name"] for h in plan["hazards"]] == HAZARDS
    operator.run("failover", status=2)
    operator.run("failover", "--digest", "000000000000", *ACCEPTED, status=5)
    assert "loses-writes" in operator.run("failover", "--digest", plan["digest"], status=5)["next"]
    assert len(operator.journal()) == before


def test_a_rehearsal_leaves_everything_as_it_was(operator: Operator, tmp_path: Path) -> None:
    """Everything comes back on a host of its own at birch, a user gets through there, and nothing of it is left."""
    before, lines = operator.run("status"), len(operator.journal())
    command = operator.start("rehearse", "--report", str(tmp_path / "report"), "--json")
    verdict = json.loads(command.communicate(timeout=800)[0])
    assert [why for why in verdict["why"] if not why.startswith("RTO: a user got through")] == []
    assert (verdict["verdict"], command.returncode) in {("met", 0), ("missed", 3)}, "late on a busy machine"
    assert verdict["rto"]["data_s"] > 0
    assert (tmp_path / "report" / "report.html").exists()
    after = operator.run("status")
    assert [v["epoch"] for v in after["vaults"].values()] == [v["epoch"] for v in before["vaults"].values()]
    assert after["zones"] == before["zones"]
    assert after["sites"]["acorn"]["serving"] is True
    added = [(event["kind"], event["site"]) for event in operator.journal()[lines:]]
    assert added == [("rehearsal-host", "birch-rehearsal"), ("rehearsal-host-removed", "birch-rehearsal")], (
        "all else is in its own"
    )
    assert operator.run("rehearse", "--to", "cedar", status=2)["error"] == "A rehearsal can't use cedar."


def killed_at(operator: Operator, action: str, *words: str) -> None:
    """Begin a command, and kill -9 it while it carries out a step."""
    began = len(operator.journal())
    command = operator.start(*words)
    limit = time.monotonic() + 500
    while not any(e["kind"] == "step-started" and e["action"] == action for e in operator.journal()[began:]):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    command.kill()
    command.communicate(timeout=120)


def another_machine(operator: Operator, kit: Path, aside: Path) -> None:
    """From now on only the fleet file and this kit are there: no journal, no plan, no state of any stack."""
    aside.mkdir()
    for name in ("journal.jsonl", "plans", "state", "kit"):
        (operator.file.parent / name).rename(aside / name)
    shutil.copytree(kit, operator.file.parent / "kit")
    (operator.file.parent / "journal.jsonl").touch()


def test_killed_in_the_middle_somebody_else_goes_on(operator: Operator, tmp_path: Path) -> None:
    """Acorn is terminated; a failover is killed -9 on one machine, and on another one, and goes on there; the first is refused."""
    shutil.copytree(operator.file.parent / "kit", tmp_path / "kit")
    operator.lab.inject("terminate", ["acorn"])
    first = operator.run("plan")
    killed_at(operator, "restore", "failover", "--digest", first["digest"], *ACCEPTED)
    another_machine(operator, tmp_path / "kit", tmp_path / "first")
    again = operator.run("plan", "--to", "birch", "--lost", "acorn")
    assert again["digest"] != first["digest"]
    approved = ("--digest", again["digest"], *accepting(again))
    killed_at(operator, "recover", "failover", "--to", "birch", "--lost", "acorn", *approved)
    done = operator.run("failover")
    assert (done["digest"], done["site"]) == (again["digest"], "birch")
    assert [e["number"] for e in operator.journal() if e["kind"] == "sealing"] == [3]
    seen = operator.run("status", "--lost", "acorn")
    assert seen["sites"]["birch"]["serving"] is True
    assert {v["epoch"]["number"] for n, v in seen["vaults"].items() if n != "birch"} == {3}
    few = operator.run(
        "up", "birch", "--lost", "acorn", "--lost", "cedar", "--lost", "dover", "--lost", "elm", status=1
    )
    assert "of the 2 vaults needed to seal" in few["error"], few
    assert operator.run("up", "birch", "--lost", "acorn")["addresses"] == ["198.18.2.100"]
    (tmp_path / "first/journal.jsonl").replace(operator.file.parent / "journal.jsonl")
    assert "sealed by somebody else" in operator.run("failover", status=5)["error"]


def test_the_vendor_that_left_was_not_called(operator: Operator) -> None:
    """Acorn's account API saw no request after the account was closed, by failovers nor by `up --lost`."""
    answers = [r for r in operator.lab.requests("acorn") if r["status"] == 403]
    assert answers == []


def test_forced_where_too_few_vaults_are_left(operator: Operator) -> None:
    """Acorn is back, birch and cedar are gone, and elm missed the last post: that is lost, as was said and accepted by name."""
    kept = as_users(operator.lab, ONE_POST, "In two vaults").strip()
    limit = time.monotonic() + 120
    while operator.run("status", "--lost", "acorn")["sites"]["birch"]["ship"]["vaults"]["elm"]["lag_bytes"]:
        assert time.monotonic() < limit
    operator.lab.inject("control-plane", ["elm"])
    lost = as_users(operator.lab, ONE_POST, "In cedar's alone").strip()
    operator.lab.inject("correlated", ["birch", "cedar"])
    for vendor in ("acorn", "elm"):
        operator.lab.relent(vendor)
    operator.run_until_answered(
        "stack", "restore", "acorn"
    )  # what this machine knew of its hosts lies beside the first one's journal
    words = ("--to", "acorn", "--lost", "birch", "--lost", "cedar")
    assert "of the 2 vaults needed to seal" in operator.run("plan", *words, status=1)["error"]
    plan = operator.run("plan", *words, "--force")
    told = {hazard["name"]: hazard["why"] for hazard in plan["hazards"]}
    assert "Only 1 of the 2 vaults" in told["split-brain"]
    assert "What only the vaults hold that can't be read is lost" in told["loses-writes"]
    do = ("failover", *words, "--force", "--digest", plan["digest"])
    for left_open in ("split-brain", "loses-writes"):
        assert left_open in operator.run(*do, *accepting(plan, left_open), status=5)["next"]
    assert operator.run(*do, *accepting(plan))["site"] == "acorn"
    assert operator.asks("GET", f"/api/v1/statuses/{kept}") == 200
    assert operator.asks("GET", f"/api/v1/statuses/{lost}") == 404
