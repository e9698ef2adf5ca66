"""SIGKILL for restore and recover, and for the restic and the Postgres below them, at moments that a seed chooses."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from resilience.replication import lsn
from tests.replication.harness import ROOT, Site, kill_all

LOOK = 0.003
VICTIMS = {"restore": ("command", "below", "both"), "recover": ("command", "below", "both")}
USUAL = {"restore": 2.5, "recover": 1.5}
"""Seconds that they take when nobody kills them, until one was seen."""
USUAL_HOT = {"restore": 0.6, "recover": 0.5}
"""The same for a standby's, most of them to load."""


def begin(site: Site, command: str, config: Path) -> subprocess.Popen[bytes]:
    """Start a command that is not going to end by itself."""
    argv = [sys.executable, "-m", "resilience.replication", command, "--config", str(config)]
    out, log = (site.folder / f"{command}-killed.{kind}" for kind in ("out", "log"))
    with out.open("wb") as answer, log.open("wb") as said:
        return subprocess.Popen(argv, cwd=ROOT, stdout=answer, stderr=said)


def kill(site: Site, command: str, config: Path, chance: random.Random, usual: float) -> str:
    """Run a command, kill it or what runs below it at some moment; what was hit, and how far it had come."""
    process = begin(site, command, config)
    victim = chance.choice(VICTIMS[command])
    moment = _moment(site, command, chance, usual)
    while process.poll() is None and not moment():
        time.sleep(LOOK)
    where = phase(site)
    below = restics(site) + site.servers() if command == "restore" else site.servers()
    if victim != "below":
        process.kill()
    if victim != "command":
        kill_all(below)
    if process.wait(120) > 0:
        told = (site.folder / f"{command}-killed.out").read_text()
        assert "error" in told, (site.folder / f"{command}-killed.log").read_text()
    return f"kill -9 {victim} at {command}: {where}"


def promoted_once(site: Site, merged: dict[str, Any], recovered: dict[str, Any], told: list[str]) -> None:
    """Its timeline left the lost one's where recover says, at nothing less than was confirmed; the next start is a primary's."""
    site.kill_postgres()
    site.start()
    with site.connect() as db:
        now = db.execute("SELECT pg_is_in_recovery(), left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)").fetchone()
        assert now == (False, f"{recovered['timeline']:08X}"), told
    history = (site.pg / f"pg_wal/{recovered['timeline']:08X}.history").read_text().split("\n")
    last = [line.split("\t") for line in history if line.strip()][-1]
    assert (int(last[0]), last[1]) == (merged["timeline"], recovered["switch_lsn"]), f"{told}: {history}"
    assert lsn.parse(recovered["switch_lsn"]) >= lsn.parse(merged["confirmed_lsn"]), told


def _moment(site: Site, command: str, chance: random.Random, usual: float) -> Callable[[], bool]:
    """After a part of the usual time; or shortly after it was judged, when Postgres is being promoted."""
    if command == "recover" and chance.random() < 0.5:
        return _after(lambda: "judged" in marker(site), usual * chance.uniform(0, 0.2))
    return _after(lambda: True, usual * chance.uniform(0.3, 1.0))


def _after(happened: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """Whether something happened so long ago."""
    since: list[float] = []

    def passed() -> bool:
        if not since and happened():
            since.append(time.monotonic())
        return bool(since) and time.monotonic() >= since[0] + seconds

    return passed


def phase(site: Site) -> str:
    """How far the copy has come, by what lies on the disk."""
    told = marker(site)
    signs = [str(told.get("state", "nothing"))]
    signs += ["judged"] if "judged" in told else []
    signs += [what for what, path in PHASES.items() if (site.pg / path).exists()]
    return ", ".join([*signs, f"{len(site.servers())} servers", f"{len(restics(site))} restic"])


PHASES = {"files": "PG_VERSION", "label": "backup_label", "signal": "standby.signal"}


def marker(site: Site) -> dict[str, object]:
    """What restore and recover say of the copy."""
    try:
        told: dict[str, object] = json.loads((site.pg / "resilience.json").read_text())
    except (OSError, ValueError):
        return {}
    return told


def restics(site: Site) -> list[int]:
    """The processes that bring files to this site."""
    return [
        pid for pid, argv in _processes() if b"restic" in argv and b"--target" in argv and str(site.pg).encode() in argv
    ]


def _processes() -> list[tuple[int, bytes]]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((int(path.name), (path / "cmdline").read_bytes()))
    return found
