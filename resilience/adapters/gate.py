"""Port Gate: marks on the host that its proxy looks for at each request (see `resilience.host.gate`)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from resilience.host.gate import FOLDER, MARKS
from resilience.model import SiteOutputs, Stage


class Shell(Protocol):
    """What runs a command on the host."""

    def check(self, command: str, *, stdin: bytes | None = None, timeout: float = 60.0) -> str:
        """Standard output of a command that must succeed."""


@dataclass(frozen=True)
class HostGate:
    """The gate of each site, over SSH."""

    shell: Callable[[SiteOutputs], Shell]
    folder: str = FOLDER
    renew: str = "systemctl try-restart caddy"
    """A proxy that still runs from another epoch reads this epoch's pass."""

    def begin(self, outputs: SiteOutputs, under: str) -> Stage:
        """Close, unless it was opened under this very epoch."""
        nonce = shlex.quote(under)
        close = f"rm -f {_marks(self.folder, Stage.CLOSED)}; {self.renew}; printf %s {nonce} > {self.folder}/epoch"
        return self._run(outputs, f'[ "$(cat {self.folder}/epoch 2>/dev/null)" = {nonce} ] || {{ {close}; }}')

    def set(self, outputs: SiteOutputs, stage: Stage) -> Stage:
        """Take away the marks beyond the stage, then make those up to it."""
        before = self.stage(outputs)
        up_to = " ".join(f"{self.folder}/{mark}" for at, mark in MARKS.items() if stage.covers(at))
        touch = f" && touch {up_to}" if up_to else ""
        self._run(outputs, f"rm -f {_marks(self.folder, stage)}{touch}")
        return before

    def stage(self, outputs: SiteOutputs) -> Stage:
        """The highest stage whose mark is there, with all below it."""
        return self._run(outputs, "true")

    def _run(self, outputs: SiteOutputs, command: str) -> Stage:
        """Do something to the marks; the stage after it."""
        look = f"cd {self.folder} && ls"
        there = set(self.shell(outputs).check(f"{{ {command}; }} && {look}").split())
        reached = Stage.CLOSED
        for stage, mark in MARKS.items():
            if mark not in there:
                break
            reached = stage
        return reached


def _marks(folder: str, beyond: Stage) -> str:
    """The marks of all stages beyond this one, the highest first."""
    return " ".join(f"{folder}/{mark}" for at, mark in reversed(list(MARKS.items())) if not beyond.covers(at))
