"""A lab that is set aside comes back as it was: keys, disks and vaults; its hosts run again, and nothing else is left."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience.errors import UsageError
from resilience.lab import Lab

pytestmark = pytest.mark.lab
CEDAR = "198.18.3.100"
SSH = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-i"]
MARKERS = "/var/lib/marker /var/lib/resilience/marker"
PUT, SAY = f"printf as-it-was | tee {MARKERS}; sync", f"cat {MARKERS}; echo changed since | tee {MARKERS} > /dev/null"
"""Of the two, one lies in the host's layer, and one on its disk."""
PIPED: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}


def ask(lab: Lab, command: str, address: str = CEDAR) -> str:
    """What a host answers, cedar's unless another is named."""
    words = [*SSH, str(lab.directory / "kit/ssh_ed25519"), f"root@{address}", command]
    asked: str = lab.popen_as_users(words, **PIPED).communicate(timeout=120)[0]
    return asked


def leaderless_s(lab: Lab) -> float:
    """For how long elm's store, once started, answered nobody, by its own log."""
    lines = (lab.directory / "log/bucket-elm.log").read_text().splitlines()
    said = [line for line in lines if "Start Seaweed Master" in line or "becomes leader" in line]
    first, last = (datetime.strptime(said[n].split()[1], "%H:%M:%S.%f").replace(tzinfo=UTC) for n in (0, -1))
    assert len(said) > 1
    return (last - first).total_seconds() % 86_400


def test_what_was_set_aside_comes_back(tmp_path: Path) -> None:
    """Twice from one copy: the second has nothing of what was done to the first."""
    lab, place = Lab(tmp_path / "lab"), tmp_path / "aside"
    lab.up()
    try:
        key = (lab.directory / "kit/operator.key").read_bytes()
        assert ask(lab, PUT) == "as-it-was"
        lab.set_aside(place, {"prepared": {"posts": 3}})
    finally:
        assert lab.down() == []
    leaderless = []
    for _ in range(2):
        lab.up(from_aside=place)
        try:
            assert lab.status()["vendors"]["cedar"]["hosts"] == {"cedar-1": True}
            leaderless.append(leaderless_s(lab))
            assert all(all(v["services"].values()) for v in lab.status()["vendors"].values())
            assert (lab.directory / "kit/operator.key").read_bytes() == key
            assert ask(lab, SAY) == "as-it-was" * 2
            lab.inject("delete", ["cedar"])
        finally:
            assert lab.down() == []
    assert min(leaderless) < 9, "each drill of a round would wait for it, by default 10 to 20 s"


def test_half_a_copy_is_none(tmp_path: Path) -> None:
    """Where nothing was set aside to the end, the lab is not made, and it is said so."""
    lab = Lab(tmp_path / "lab")
    with pytest.raises(UsageError, match="No lab is set aside"):
        lab.up(from_aside=tmp_path)
    assert lab.leftovers() == []
