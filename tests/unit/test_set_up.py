"""Set-up reads the machine as it is: its package sources, and what was asked of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).parents[2]
SIGNED = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"


def part(name: str) -> ModuleType:
    """One of set-up's Python parts, loaded from its file."""
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / f"scripts/parts/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_machines_mirror_is_used_in_the_old_format(tmp_path: Path) -> None:
    """Main of Debian's own suites is kept; source packages, comments and CDs are not."""
    tmp_path.joinpath("sources.list").write_text(
        "# deb http://off.example/debian bookworm main\n"
        "deb http://mirror.example/debian bookworm main contrib # near\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb cdrom:[Debian]/ bookworm main\n"
        "deb [arch=amd64] http://mirror.example/debian-security bookworm-security main\n"
        "deb http://mirror.example/debian bookworm-backports main\n"
    )
    assert part("sources").debian(tmp_path) == [
        f"{SIGNED} http://mirror.example/debian bookworm main",
        f"{SIGNED} http://mirror.example/debian-security bookworm-security main",
    ]


def test_the_machines_mirror_is_used_in_the_new_format(tmp_path: Path) -> None:
    """A cloud image's mirror list is kept; other vendors' repositories and disabled ones are not."""
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    folder.joinpath("debian.sources").write_text(
        "# as the image came\nTypes: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
    )
    folder.joinpath("other.sources").write_text(
        "Types: deb\nURIs: http://vpn.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /etc/apt/vpn.gpg\n"
    )
    assert part("sources").debian(tmp_path) == [
        f"{SIGNED} mirror+file:///etc/apt/mirrors/debian.list bookworm main",
        f"{SIGNED} mirror+file:///etc/apt/mirrors/debian.list bookworm-updates main",
    ]


def test_supplies_are_listed_with_digest_and_size(tmp_path: Path) -> None:
    """The manifest names every file, and its own digest changes with any of them."""
    tmp_path.joinpath("restic").write_bytes(b"one")
    supplies = part("supplies")
    supplies.manifest(tmp_path)
    first = json.loads((tmp_path / "manifest.json").read_text())
    assert first["files"] == {
        "restic": {"bytes": 3, "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"}
    }
    tmp_path.joinpath("manifest.json").unlink()
    tmp_path.joinpath("restic").write_bytes(b"two")
    supplies.manifest(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["digest"] != first["digest"]


@pytest.mark.parametrize("command", [["bootstrap", "--al"], ["bench", "none"], ["bench"]], ids=" ".join)
def test_a_wrong_argument_is_usage(command: list[str]) -> None:
    """Exit status 2, with what there is to choose from, before anything is done."""
    script = CHECKOUT / "scripts" / command[0]
    done = subprocess.run([script, *command[1:]], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    assert "scripts/" in done.stderr
