"""The drill as a user runs it: real vendors' stand-ins, real app, a terminated account, a judged journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from resilience.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]
RESILIENCE = [sys.executable, "-c", "from resilience.cli import main; main()"]
CHECKOUT = str(Path(__file__).resolve().parents[2])


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A command of ours in a folder of its own."""
    return subprocess.Popen(
        [*RESILIENCE, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], Path]:
    """One small drill by HTTPS: its exit status, its verdict, its report directory."""
    folder = tmp_path_factory.mktemp("drill")
    command = start(folder, "drill", "--tls", "--seed", "7", "--report", "report", "--json")
    out, err = command.communicate(timeout=1400)
    assert (folder / "report" / "verdict.json").exists(), err[-3000:]
    return command.returncode, json.loads(out), folder / "report"


def test_nothing_is_unknown(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """Every figure was measured, and the exit status is the verdict's."""
    status, verdict, _ = drilled
    assert verdict["verdict"] in {"met", "missed"}, verdict["why"]
    assert status == {"met": 0, "missed": 3}[verdict["verdict"]]
    assert verdict["simulated"] is False
    assert verdict["rto"]["measured_s"] == pytest.approx(
        sum(verdict["rto"][f"{part}_s"] for part in ("decide", "provision", "data", "start", "name")), abs=0.01
    )


def test_what_was_acknowledged_is_there(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """Nothing older than two seconds at the fault is lost, and enough was written to say so."""
    _, verdict, _ = drilled
    assert verdict["rpo"]["acknowledged"] >= 100
    assert verdict["rpo"]["measured_s"] <= 2.0


def test_nobody_who_was_told_that_they_are_in_is_missing(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """People signed up until the account was closed: posts of the last moment may be lost, none of these people is."""
    _, verdict, report = drilled
    events = [json.loads(line) for line in (report / "journal.jsonl").read_text().splitlines()]
    fault = next(event["at"] for event in events if event["kind"] == "fault")
    writes = next(event["writes"] for event in events if event["kind"] == "acknowledged")
    assert any(one.get("newcomer") and one["at"] <= fault for one in writes)
    assert verdict["newcomers"]["told"] > 0
    assert verdict["newcomers"]["missing"] == 0


def test_pictures_and_takedowns_came_along(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """No picture of a surviving row is missing or altered; what was taken down stays down."""
    _, verdict, _ = drilled
    assert verdict["media"]["objects"] >= 150
    assert (verdict["media"]["missing"], verdict["media"]["corrupt"]) == (0, 0)
    assert verdict["takedowns"] == {"issued": 7, "resurrected": 0}


def test_what_was_taken_down_at_the_last_moment_stays_down(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """One post went after the snapshot, one right before the fault: the ledger at the new site knows all seven, and users find neither."""
    _, _, report = drilled
    events = [json.loads(line) for line in (report / "journal.jsonl").read_text().splitlines()]
    late = [post for event in events if event["kind"] == "taken-down" for post in event["posts"]]
    seen = next(event for event in events if event["kind"] == "takedowns-seen")
    assert (len(late), seen["asked"], seen["shown"], seen["unchecked"]) == (2, late, [], [])
    assert [event["issued"] for event in events if event["kind"] == "takedowns-checked"][-1] == 7


def test_nobody_called_the_dead(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """The failover made no connection to the vendor that left; the old site took no write."""
    _, verdict, _ = drilled
    assert verdict["blackhole"] == {"vendors": ["acorn"], "calls": 0}
    assert verdict["fence"]["attempts"] > 0
    assert verdict["fence"]["accepted"] == 0


def test_the_new_site_serves_with_the_old_certificate(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """With the vendor every authority fell silent: what users are shown by name is what the old site was issued."""
    _, _, report = drilled
    events = [json.loads(line) for line in (report / "journal.jsonl").read_text().splitlines()]
    fault = next(event for event in events if event["kind"] == "fault")
    assert fault["authorities"] == ["larch", "maple"]
    kept = [(e["at"], e["facts"]["fingerprint"]) for e in events if "fingerprint" in (e.get("facts") or {})]
    assert kept[0][0] < fault["at"] < kept[-1][0]
    assert len({served for _, served in kept}) == 1


def test_the_report_is_one_page_and_nothing_is_left(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """report.html is there, names the verdict, loads nothing; the lab is gone without a trace."""
    _, verdict, report = drilled
    page = (report / "report.html").read_text()
    assert verdict["verdict"].capitalize() in page
    assert 'src="http' not in page
    events = [json.loads(line) for line in (report / "journal.jsonl").read_text().splitlines()]
    assert next(e for e in events if e["kind"] == "torn-down")["left"] == []
    assert Lab(report.parent / ".resilience" / "drill").leftovers() == []


def test_an_old_journal_is_judged_again(drilled: tuple[int, dict[str, Any], Path]) -> None:
    """`resilience verdict` says of the journal alone what the drill said."""
    status, verdict, report = drilled
    again = start(report.parent, "verdict", "report", "--json")
    out, _ = again.communicate(timeout=300)
    assert json.loads(out) == verdict
    assert again.returncode == status


def wait_for(report: Path, kind: str, command: subprocess.Popen[str]) -> None:
    """Until the drill's journal has an event of this kind."""
    journal = report / "journal.jsonl"
    limit = time.monotonic() + 600
    while time.monotonic() < limit:
        if journal.exists() and f'"kind":"{kind}"' in journal.read_text():
            return
        assert command.poll() is None, command.communicate()
        time.sleep(0.1)
    pytest.fail(f"no {kind} within 600 s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and kill in the middle of a step: exit status 130, no host, mount, process or file."""
    command = start(tmp_path, "drill", "--report", "report")
    wait_for(tmp_path / "report", "step-started", command)
    command.send_signal(number)
    command.communicate(timeout=300)
    assert command.returncode == 130
    assert Lab(tmp_path / ".resilience" / "drill").leftovers() == []
    assert not (tmp_path / ".resilience" / "drill").exists()


def test_two_drills_and_a_kill(tmp_path: Path) -> None:
    """The second of two drills is told so; what kill -9 leaves, `lab down` removes."""
    first = start(tmp_path, "drill", "--report", "one")
    wait_for(tmp_path / "one", "step-started", first)
    second = start(tmp_path, "drill", "--report", "two")
    _, said = second.communicate(timeout=300)
    assert second.returncode == 1
    assert str(first.pid) in said
    first.kill()
    first.communicate(timeout=120)
    left = Lab(tmp_path / ".resilience" / "drill")
    assert left.leftovers()
    down = start(tmp_path, "lab", "down", "--dir", ".resilience/drill")
    _, said = down.communicate(timeout=300)
    assert down.returncode == 0, said
    assert left.leftovers() == []
