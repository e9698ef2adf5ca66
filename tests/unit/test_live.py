"""scripts/live refuses before it makes anything: in CI, with nobody to ask, above what was allowed, at no such vendor.

At a terminal it checks, asks twice, and ends in `down` once its time is over.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience import config
from resilience.adapters import kit_first
from tests.aws_server import client, empty_server, image
from tests.unit.test_config import GOOD

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / "scripts/live"
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


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    """AWS as moto plays it, which has read its lists by now; its address."""
    with empty_server() as url:
        client("ec2", url).describe_instance_type_offerings()
        yield url


def at_a_terminal(folder: Path, url: str, typed: str) -> subprocess.CompletedProcess[str]:
    """Run it at AWS with somebody who types this; no provider's plugin is there, so that the engine makes nothing."""
    ours, theirs = pty.openpty()
    home, plain = str(folder / "no-plugins"), "/usr/bin:/bin"
    env = {**os.environ, "AWS_ENDPOINT_URL": url, "PULUMI_HOME": home, "PATH": plain}
    env.pop("CI", None)
    argv = [str(LIVE), "acorn", "--fleet", str(folder / "fleet.toml"), *ALLOWED]
    try:
        os.write(ours, typed.encode())
        return subprocess.run(argv, env=env, stdin=theirs, capture_output=True, text=True, check=False, timeout=300)
    finally:
        os.close(ours)
        os.close(theirs)


SMALL, HUGE = "t3.medium", "t9.huge"
QUESTIONS = ("Type the vendor's name", "Type what it may cost")


@pytest.mark.parametrize(
    ("kind", "typed", "status", "asked", "said"),
    [
        (HUGE, "acorn\n1\n", 1, 0, "Nothing was made: size"),
        (SMALL, "acorn\n2\n", 5, 2, "Nothing was made."),
        (SMALL, "acorn\n1\n", 1, 2, "pulumi-resource-aws"),
    ],
)
def test_it_checks_and_then_asks_twice(
    fleet: Path, amazon: str, kind: str, typed: str, status: int, asked: int, said: str
) -> None:
    """What the vendor does not have ends it unasked; one wrong word makes nothing; both right ones begin, and end in `down`."""
    aws = f'stack = "aws"\ntype = "{kind}"\nregion = "us-east-1"\nimage = "{image(amazon)}"'
    (fleet / "fleet.toml").write_text(CLOUD.replace('stack = "hetzner"\nregion = "fsn1"', aws))
    shutil.rmtree(fleet / "kit")
    kit_first.make(fleet / "kit", config.load(fleet / "fleet.toml"))
    (fleet / "kit/accounts").mkdir(exist_ok=True)
    (fleet / "kit/accounts/acorn.txt").write_text("token")
    (fleet / "kit/accounts/acorn.env").write_text("AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    done = at_a_terminal(fleet, amazon, typed)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), (done.stdout, done.stderr)
    assert "check: what acorn tells" in done.stdout
    assert [question in done.stdout for question in QUESTIONS] == [asked > 0, asked > 1]
    begun = "pulumi" in said
    assert ("  up: try-" in done.stdout, "  down" in done.stdout, (fleet / "state").exists()) == (begun, begun, begun)


LATE = """
import signal, sys, threading
from dataclasses import replace
from parts.live import capped
from resilience.engine.trial import trial
from resilience.simulation.state import State
from resilience.simulation.vendors import SimCloud
from resilience.model import Site

class Slow(SimCloud):
    def up(self, site):
        made = super().up(site)
        return made if sys.argv[1] == "in-time" else threading.Event().wait()

    def down(self, site):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "the time that was agreed would end this, too"
        super().down(site)

state = State()
print(trial(Slow(state), Site("acorn", "acorn", "lab"), lambda made: [], lambda said: None, capped(float(sys.argv[2]))))
assert not state.outputs
"""


@pytest.mark.parametrize(("how", "seconds", "said"), [("late", "0.2", "The time is over."), ("in-time", "600", "")])
def test_its_time_ends_what_is_made_and_never_what_destroys_it(how: str, seconds: str, said: str) -> None:
    """A vendor that never answers is left once the time is over, and what it made goes, however long that takes."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"}
    argv = [sys.executable, "-c", LATE, how, seconds]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "destroyed=True" in done.stdout
    assert ("The time is over." in done.stdout) == bool(said)
