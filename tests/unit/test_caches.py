"""Caches are found where set-up wrote them, and missed with a next step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resilience import caches
from resilience.errors import MissingPart

PARTS = [caches.rootfs, caches.tools, caches.engine, caches.restic, caches.supplies, caches.chromium, caches.axe]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_is_where_set_up_wrote_it(cache: Path, part: Callable[[], Path]) -> None:
    """`current.json` names the place."""
    place = cache / "made"
    place.mkdir()
    (cache / "current.json").write_text(json.dumps({part.__name__: str(place)}))
    assert part() == place


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
@pytest.mark.parametrize("written", [None, "", "{", "{}"], ids=["nothing", "empty", "cut off", "no parts"])
def test_a_missing_part_says_what_to_run(cache: Path, part: Callable[[], Path], written: str | None) -> None:
    """No cache, a damaged list or a list without the part: the way out is the same."""
    if written is not None:
        (cache / "current.json").write_text(written)
    with pytest.raises(MissingPart, match="scripts/bootstrap"):
        part()


def test_a_part_that_went_away_is_missing(cache: Path) -> None:
    """A list that names a place is not enough: the place must be there."""
    (cache / "current.json").write_text(json.dumps({"restic": str(cache / "gone")}))
    with pytest.raises(MissingPart):
        caches.restic()


def test_the_cache_is_where_the_desktop_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word of ours, XDG_CACHE_HOME decides, then the home folder."""
    monkeypatch.delenv("RESILIENCE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert caches.home() == tmp_path / "xdg" / "resilience"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caches.home() == tmp_path / ".cache" / "resilience"


def test_the_machines_own_programs_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached programs are behind everything else on PATH, and are added once."""
    (cache / "current.json").write_text(json.dumps({"programs": str(cache)}))
    monkeypatch.setenv("PATH", os.defpath)
    caches.use_programs()
    caches.use_programs()
    assert os.environ["PATH"] == os.pathsep.join([os.defpath, str(cache)])


def test_without_set_up_the_path_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated drill needs none of the programs."""
    monkeypatch.setenv("PATH", os.defpath)
    caches.use_programs()
    assert not list(cache.iterdir())
    assert os.environ["PATH"] == os.defpath
