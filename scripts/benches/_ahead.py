"""Commands of the data plane as a failover runs them: started ahead, told what to do when the moment has come."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scripts.benches._world import CHECKOUT, Site

AT_REST = 0.5
"""A command that has used no CPU for so long, and did not wait for a disk, has loaded, and waits for its configuration."""
SLEEPS = "S"


class Ahead:
    """`python -m resilience.replication COMMAND --config /dev/stdin`, loaded."""

    def __init__(self, site: Site, command: str) -> None:
        self._site, self._command = site, command
        argv = [sys.executable, "-m", "resilience.replication", command, "--config", "/dev/stdin"]
        self._log = (site.folder / f"{command}.log").open("wb")
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd=CHECKOUT
        )
        used, since = -1, time.monotonic()
        while time.monotonic() < since + AT_REST or not used:
            state, now = self._looks()
            if now != used or state != SLEEPS:
                used, since = now, time.monotonic()
            time.sleep(0.05)

    def _looks(self) -> tuple[str, int]:
        """What it is about, as the kernel calls it, and the CPU it used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])

    def run(self, config: Path) -> dict[str, Any]:
        """Tell it what to do; its answer, and the seconds from here to there as `took_s`."""
        began = time.monotonic()
        out, _ = self._process.communicate(config.read_bytes())
        took = time.monotonic() - began
        self._log.close()
        if self._process.returncode:
            sys.exit(f"{self._command} failed:\n{(self._site.folder / f'{self._command}.log').read_text()[-3000:]}")
        return {**json.loads(out), "took_s": took}


__all__ = ["Ahead"]
