"""Pictures that somebody looked for in vain: told to whoever brings pictures, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience.plaza import store
from resilience.plaza.store import Store


def test_what_is_wanted_is_kept_only_while_pictures_are_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is left where nobody takes it; and no more than some, should whoever takes them have been killed."""
    app, wanted = Store(tmp_path / "media", tmp_path / "outbox"), tmp_path / "outbox/wanted"
    app.want("ab")
    assert not wanted.exists()
    wanted.mkdir(parents=True)
    monkeypatch.setattr(store, "MOST_WANTED", 3)
    for name in ("ab", "cd", "ab", "ef", "01", "23"):
        app.want(name)
    assert sorted(path.name for path in wanted.iterdir()) == ["ab", "cd", "ef"]
