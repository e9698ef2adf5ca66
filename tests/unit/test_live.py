"""scripts/live refuses before it makes anything: in CI, with nobody to ask, above what was allowed, at no such vendor."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_config import GOOD

LIVE = Path(__file__).resolve().parents[2] / "scripts/live"
CLOUD = GOOD.replace('stack = "lab"', 'stack = "hetzner"\nregion = "fsn1"').replace(
    "lab = true", 'operators = ["192.0.2.7/32"]'
)
ALLOWED = ("--price-per-hour", "0.02", "--at-most", "1")


def live(folder: Path, *words: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    """Run it with nobody at its input."""
    env = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    argv = [str(LIVE), *words, "--fleet", str(folder / "fleet.toml")]
    return subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A fleet with one site at a cloud, and its credentials in the kit."""
    (tmp_path / "fleet.toml").write_text(CLOUD)
    accounts = tmp_path / "kit" / "accounts"
    accounts.mkdir(parents=True)
    (accounts / "acorn.env").write_text("HCLOUD_TOKEN=none\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ci", "status", "said"),
    [
        (("acorn", *ALLOWED), True, 5, "does not run in CI"),
        (("acorn", *ALLOWED), False, 5, "nobody is there to answer"),
        (("acorn", "--price-per-hour", "9", "--at-most", "1"), False, 5, "more than 1"),
        (("cedar", *ALLOWED), False, 2, "No site at cedar"),
        (("acorn",), False, 2, "--price-per-hour"),
    ],
)
def test_it_refuses_first(fleet: Path, words: tuple[str, ...], ci: bool, status: int, said: str) -> None:  # noqa: FBT001
    """Each refusal has its status and its reason, and no state was begun."""
    done = live(fleet, *words, ci=ci)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert not (fleet / "state").exists()


def test_without_credentials_it_says_which(fleet: Path) -> None:
    """The kit's missing file is named before anybody is asked anything."""
    (fleet / "kit/accounts/acorn.env").unlink()
    done = live(fleet, "acorn", *ALLOWED)
    assert done.returncode == 1
    assert "HCLOUD_TOKEN" in done.stderr
