"""Port Gate: marks on the host that its proxy looks for at each request (see `resilience.host.gate`)."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from resilience.adapters.host_places import PYTHON
from resilience.errors import ResilienceError
from resilience.host.certificates import Unusable, usable
from resilience.host.gate import FOLDER, MARKS
from resilience.host.proxy import ROOT
from resilience.model import SiteOutputs, Stage
from resilience.ports import SealedCertificate
from resilience.replication import seals

TAKE = f"{PYTHON} -m resilience.host.certificates take"
LAST_WORDS = 'journalctl -u caddy -n 200 --no-pager -o cat | grep -F \'"level":"error"\' | tail -n 3; true'


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
    host: str = ""
    """The name it serves."""
    recipients: tuple[str, ...] = ()
    """To whom the keys of its certificates are encrypted before they go anywhere."""

    def begin(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """Close, unless it was opened under one of these epochs."""
        close = f"rm -f {_marks(self.folder, Stage.CLOSED)}; {self.renew}; {self._note(under[0])}"
        return self._known(outputs, under, otherwise=close)

    def go_on(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """The marks stay as they are."""
        return self._known(outputs, under, otherwise="true")

    def _known(self, outputs: SiteOutputs, under: Sequence[str], *, otherwise: str) -> Stage:
        newest, *before = map(shlex.quote, under)
        older = f"{'|'.join(before)}) {self._note(under[0])} ;; " if before else ""
        cases = f"{newest}) ;; {older}*) {otherwise} ;;"
        return self._run(outputs, f'case "$(cat {self.folder}/epoch 2>/dev/null)" in {cases} esac')

    def _note(self, nonce: str) -> str:
        """Replaced whole: a power cut leaves the one that was, or this one; the folder's time says since when, and the app's door looks at it."""
        new = f"{self.folder}/epoch.new"
        return f"printf %s {shlex.quote(nonce)} > {new} && sync {new} && mv {new} {self.folder}/epoch"

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

    def root(self, outputs: SiteOutputs) -> str:
        """The proxy makes it when it first starts; it comes over SSH, whose host key is pinned."""
        wait = f"for _ in $(seq 100); do [ -s {ROOT} ] && break; sleep 0.1; done"
        return self.shell(outputs).check(f"{wait}; cat {ROOT}", timeout=30)

    def certificate(self, outputs: SiteOutputs, wait_s: float = 0.0) -> SealedCertificate:
        """Taken out of the proxy's storage; where there is none, or none that it serves, the proxy is started again: it asks at once, or loads it."""
        shell, take = self.shell(outputs), f"{TAKE} {shlex.quote(self.host)}"
        for wait, before in ((0.0, ""), *([(wait_s, f"{self.renew}; ")] if wait_s else ())):
            said = shell.check(f"{before}{take} --wait {wait:g}", timeout=wait + 30)
            bundle = json.loads(said.strip().splitlines()[-1])
            try:
                found = usable(bundle["files"], self.host, time.time())
                if not bundle.get("served", True):  # a host that was set up earlier does not say
                    raise Unusable("the proxy has one, and does not serve it")  # noqa: TRY301 - as any other
            except Unusable as error:
                why = str(error)
                continue
            return SealedCertificate(found, seals.encrypt(json.dumps(bundle).encode(), self.recipients))
        raise ResilienceError(
            f"{outputs.site} has no certificate for {self.host}.",
            f"{why[0].upper()}{why[1:]}. The proxy says: {shell.check(LAST_WORDS).strip()[-900:] or 'nothing'}",
            "See whether an authority is reachable from that host and the name leads there; then run this again.",
        )

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
