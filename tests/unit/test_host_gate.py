"""The gate's marks on a host: what its commands do to a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from resilience.adapters.gate import HostGate
from resilience.model import SiteOutputs, Stage

OUTPUTS = SiteOutputs("acorn", "acorn", ("198.18.0.1",), ("key",))


class Here:
    """A shell on this machine."""

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(["sh", "-c", command], input=stdin, timeout=timeout, check=True, capture_output=True)
        return done.stdout.decode()


@pytest.fixture
def gate(tmp_path: Path) -> HostGate:
    """A gate in a folder, opened up to writes under epoch n2; each renewal of its proxy leaves a line."""
    gate = HostGate(lambda _: Here(), folder=str(tmp_path), renew=f"echo >> {tmp_path}/renewed")
    gate.begin(OUTPUTS, ["n2"])
    gate.set(OUTPUTS, Stage.WRITES)
    (tmp_path / "renewed").unlink()
    return gate


@pytest.mark.parametrize("under", [["n2"], ["n3", "n2", "n1"]])
def test_a_site_that_writes_on_stays_as_far_open_as_it_is(gate: HostGate, under: list[str]) -> None:
    """Under the same epoch or one that continues it: the gate knows the newest from then on, and its proxy runs on."""
    for beginning in (gate.begin, gate.go_on):
        assert beginning(OUTPUTS, under) == Stage.WRITES
        assert (Path(gate.folder) / "epoch").read_text() == under[0]
    assert not (Path(gate.folder) / "renewed").exists()


def test_a_power_cut_leaves_the_epoch_that_was_or_the_one_that_is(gate: HostGate) -> None:
    """It is replaced whole, never written over: without any it would be closed to everybody, with nobody to open it again."""
    noted, before = Path(gate.folder) / "epoch", Path(gate.folder) / "before"
    before.hardlink_to(noted)
    gate.go_on(OUTPUTS, ["n3", "n2"])
    assert (before.read_text(), noted.read_text()) == ("n2", "n3")


def test_another_epoch_closes_it(gate: HostGate) -> None:
    """What was opened under one that is not gone on with says nothing of this one."""
    assert gate.begin(OUTPUTS, ["n4", "n3"]) == Stage.CLOSED
    assert (Path(gate.folder) / "epoch").read_text() == "n4"
    assert (Path(gate.folder) / "renewed").exists()


def test_going_on_neither_closes_nor_vouches_for_another_time(gate: HostGate) -> None:
    """A gate that was opened under another epoch stays that one's, until the site is begun."""
    assert gate.go_on(OUTPUTS, ["n4", "n3"]) == Stage.WRITES
    assert (Path(gate.folder) / "epoch").read_text() == "n2"
    assert gate.begin(OUTPUTS, ["n4", "n3"]) == Stage.CLOSED
