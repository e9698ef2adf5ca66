"""Where the things are that `scripts/bootstrap` made: outside the checkout, shared by all checkouts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from resilience.errors import MissingPart


def home() -> Path:
    """The folder all caches are in."""
    if own := os.environ.get("RESILIENCE_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "resilience"


def rootfs() -> Path:
    """A plain Debian 12 root file system: what a vendor's image holds and no more."""
    return _part("rootfs", "the plain Debian root that lab hosts boot from")


def tools() -> Path:
    """Debian packages the lab itself runs, unpacked and never installed."""
    return _part("tools", "the unpacked Debian packages the lab runs")


def engine() -> Path:
    """The folder with `pulumi` and its Python parts."""
    return _part("engine", "the Pulumi engine")


def restic() -> Path:
    """The restic program."""
    return _part("restic", "restic")


def supplies() -> Path:
    """What hosts are set up from: `manifest.json` and the files it names."""
    return _part("supplies", "what hosts are set up from")


def chromium() -> Path:
    """The browser the tests look at pages with."""
    return _part("chromium", "the browser for the tests")


def axe() -> Path:
    """The script that looks for what keeps people out of a page."""
    return _part("axe", "axe, which the tests look at pages with")


def postgres() -> Path:
    """The folder of Postgres' programs: the machine's own, else those that set-up unpacked."""
    own = Path("/usr/lib/postgresql/15/bin")
    return own if own.exists() else tools() / "usr/lib/postgresql/15/bin"


def use_programs() -> None:
    """Let programs this machine lacks be found on PATH, where set-up made them; its own copies go first."""
    try:
        here = str(_part("programs", "the programs the lab is made with"))
    except MissingPart:
        return
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if here not in path:
        os.environ["PATH"] = os.pathsep.join([*path, here])


def _part(name: str, meaning: str) -> Path:
    """Read one place from `current.json`, and look whether it is still there."""
    try:
        places: dict[str, str] = json.loads((home() / "current.json").read_text())
    except (OSError, ValueError):
        places = {}
    place = Path(places.get(name, ""))
    if name not in places or not place.exists():
        raise MissingPart(
            f"{name} is missing: {meaning}",
            f"{home() / 'current.json'} names none that is there.",
            "Run scripts/bootstrap (with --tests for the browser).",
        )
    return place
