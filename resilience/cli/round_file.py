"""`round.json`: which round of drills a folder holds, so that nothing older, and nothing of another round, answers for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import resilience
from resilience.errors import ResilienceError

NAME = "round.json"
EARLIER = "earlier"
UNNAMED = "unnamed"
"""What drills are of whose journal names no round: those of a toolkit that did not, and those that somebody ran alone."""


@dataclass(frozen=True)
class Round:
    """One round: what it drills, when it began, and every code that it was drilled with, oldest first."""

    id: str
    about: Mapping[str, Any]
    begun_at: str
    codes: tuple[str, ...]
    finished_at: str = ""

    def keep(self, directory: Path) -> None:
        """Note it in its folder, in one move, before anything is drilled that depends on it."""
        directory.mkdir(parents=True, exist_ok=True)
        new = directory / f"{NAME}.new"
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(directory / NAME)

    def finished(self) -> Round:
        """The same, once all its drills met or missed their promise: the next time another round begins."""
        return replace(self, finished_at=_now())


def new_round(about: Mapping[str, Any], code: str) -> Round:
    """A round that begins now."""
    begun_at = _now()
    made_of = json.dumps({**about, "begun_at": begun_at, "code": code, "ns": time.time_ns()}, sort_keys=True)
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:8]
    return Round(f"{begun_at.replace(':', '').replace('-', '')}-{digest}", about, begun_at, (code,))


def round_in(directory: Path) -> Round | None:
    """The round that the folder holds; None where it holds none."""
    try:
        said = json.loads((directory / NAME).read_text())
        return Round(**{**said, "codes": tuple(said["codes"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ResilienceError(
            f"{directory / NAME} is no note of a round.",
            f"{error}. It is written in one move, so this file was altered.",
            "Name another folder with --report, or move this one away.",
        ) from error


def move_away(directory: Path, round_id: str, names: Sequence[str]) -> Path:
    """Where the round's reports lie from now on; the note goes last, so that a kill in between is gone on from."""
    place = directory / EARLIER / round_id
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        for report in sorted((*directory.glob(name), *directory.glob(f"{name}.before-*"))):
            report.rename(free(place / report.name))
    if (directory / NAME).exists():
        (directory / NAME).rename(free(place / NAME))
    return place


def free(path: Path) -> Path:
    """A name beside it that nothing has: its own, else with the next number."""
    number, found = 1, path
    while found.exists():
        found = path.with_name(f"{path.name}.before-{number}")
        number += 1
    return found


def running_code() -> str:
    """The version that runs, and the commit where it runs from a checkout."""
    here = Path(resilience.__file__).parent
    commit = _git(here, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    tracked = commit and _git(here, "ls-files", "__init__.py")
    return f"{resilience.__version__} {commit}" if tracked else resilience.__version__


def _git(place: Path, *words: str) -> str:
    """What git says there; nothing where there is no git, or it refuses."""
    try:
        done = subprocess.run(["git", "-C", str(place), *words], check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
