"""Two runs of tests share no lab, and a killed run's lab is in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from tests import instances

KEEPS_A_LAB = """
import os, sys
from pathlib import Path
from tests import instances
os.environ["RESILIENCE_LAB_INSTANCE"] = instances.claim(sys.argv[1])
from resilience.lab import cleanup, places
lab = Path(sys.argv[2])
cleanup.claim(lab)
(lab / "fleet.toml").touch()
os.system(f"ip netns add {places.OPERATOR_SPACE}")
cleanup.mark(lab, whole=True, keep=True)
print(cleanup.kept_lab(), flush=True)
sys.stdin.read()
"""


def _claimed(name: str) -> str:
    words = [sys.executable, "-c", "import sys; from tests import instances; print(instances.claim(sys.argv[1]))", name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _run_tests(instance: str) -> None:
    environment = {**os.environ, "RESILIENCE_LAB_INSTANCE": instance}
    environment.pop("PYTEST_XDIST_WORKER", None)
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", __file__]
    subprocess.run(words, env=environment, capture_output=True, check=True)


def test_a_killed_runs_lab_goes_with_the_next_run_and_a_living_ones_stays(tmp_path: Path) -> None:
    """`lab up` takes a lab that is kept for somebody's; a run of tests that was killed is nobody."""
    instance = f"t{uuid4().hex[:6]}"
    lab, space = tmp_path / "lab", Path(f"/run/netns/rsl{instance}test-operator")
    words = [sys.executable, "-c", KEEPS_A_LAB, f"{instance}test", str(lab)]
    run = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        assert run.stdout.readline().strip() == str(lab)
        assert _claimed(f"{instance}test") == f"{instance}test2"
        _run_tests(instance)
        assert lab.exists()
        assert space.exists()
        run.kill()
        run.communicate()
        _run_tests(instance)
        assert not lab.exists()
        assert not space.exists()
        assert _claimed(f"{instance}test") == f"{instance}test"
    finally:
        run.kill()
        run.communicate()
        subprocess.run(["ip", "netns", "delete", space.name], capture_output=True, check=False)
        for claimed in instances.LOCKS.glob(f"resilience-tests-{instance}*"):
            claimed.unlink()
