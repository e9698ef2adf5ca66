"""The page about failing over names every hazard and every stage that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from resilience.model import HAZARDS, Stage

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/failover.md").read_text()


def table(after: str) -> set[str]:
    """The first column of the table below a heading."""
    part = PAGE.split(f"## {after}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([a-z-]+)` \|", part, flags=re.MULTILINE))


def test_every_hazard_is_explained() -> None:
    """Read from where hazards are made: a new one needs its line."""
    made = {
        name
        for file in (ROOT / "resilience/decide").glob("*.py")
        for name in re.findall(r"Hazard\(\s*\"([a-z-]+)\"", file.read_text())
    }
    assert len(made) > 8
    assert table("Hazards") == made
    assert made | {"broken-chain", "mass-erasure"} == HAZARDS


def test_every_stage_is_explained() -> None:
    """From closed to sign-ups."""
    assert table("Stages") == {str(stage) for stage in Stage}
