"""The data plane's commands, run on a site's host or here; their configuration is in no file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience import caches
from resilience.adapters.host_places import PATHS, PYTHON
from resilience.adapters.shells import Shells
from resilience.errors import BrokenChain, NoSnapshot, ResilienceError, ShortRecovery, TooFewVaults
from resilience.model import SiteOutputs

Told = Mapping[str, Any]
LONGEST_S = 3600.0
"""No command takes longer."""


@dataclass(frozen=True)
class HostCommands:
    """`python -m resilience.replication COMMAND`, there and here."""

    shells: Shells

    def get_ready(self, outputs: SiteOutputs, *commands: str) -> None:
        """Start these on the host, so that they have loaded all they need when their configuration comes."""
        for command in commands:
            self.shells.begin(outputs, _line(command), LONGEST_S)

    def there(
        self, outputs: SiteOutputs, command: str, config: Told, *args: str, timeout: float = 120
    ) -> dict[str, Any]:
        """One command on the host; its configuration comes through a pipe."""
        done = self.shells.run(outputs, _line(command, *args), json.dumps(config).encode(), timeout)
        return answer(f"{outputs.site}: {command}", done.exit, done.out, done.complaint)

    def here(self, command: str, config: Told, *args: str) -> dict[str, Any]:
        """One command on the operator's own machine."""
        with tempfile.TemporaryDirectory(prefix="resilience-") as directory:
            Path(directory).chmod(0o711)  # Postgres' own user goes through it
            return self.into(Path(directory), command, config, *args)

    def into(self, folder: Path, command: str, config: Told, *args: str) -> dict[str, Any]:
        """One command on the operator's own machine, with what it makes below a folder."""
        paths = {**{name: f"{folder}/{name}" for name in PATHS}, "restic": str(caches.restic()), "settings": []}
        postgres = {**config["postgres"], "bin": str(caches.postgres())}
        local = json.dumps({**config, "paths": paths, "postgres": postgres})
        argv = [sys.executable, "-m", "resilience.replication", command, "--config", "/dev/stdin"]
        done = subprocess.run([*argv, *args], input=local, capture_output=True, text=True, check=False)
        return answer(f"here: {command}", done.returncode, done.stdout, done.stderr[-2000:])


def _line(command: str, *args: str) -> str:
    return " ".join([f"{PYTHON} -m resilience.replication {command} --config /dev/stdin", *args])


KINDS = {
    "BrokenChain": BrokenChain,
    "ShortRecovery": ShortRecovery,
    "TooFewVaults": TooFewVaults,
    "NoSnapshot": NoSnapshot,
}


def answer(where: str, status: int, out: str, complaint: str) -> dict[str, Any]:
    """The JSON object a command printed, or its error as ours."""
    lines = out.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    except ValueError:
        found = {}
    if status == 0:
        return found
    error = found.get("error")
    if not error:
        raise ResilienceError(f"{where} ended with status {status}.", complaint or "It said nothing.", "Run it again.")
    if error["kind"] == "BrokenChain":
        raise BrokenChain(error["missing"], error["good_until"], error["next"])
    kind = KINDS.get(error["kind"], ResilienceError)
    raise kind(f"{where}: {error['what']}", error["why"], error["next"])
