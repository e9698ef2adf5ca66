"""The removal of a lab's files: several at once, all of them, and nobody else's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from resilience.lab import cleanup


def test_files_go_side_by_side_and_nobody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are always on their way together; what a link leads to stays, and so does a folder that no lab made."""
    lab, others = tmp_path / "lab", tmp_path / "others"
    for folder in (lab / "hosts/upper", others):
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"{number}").write_text("kept")
    (lab / "hosts/below").symlink_to(others)
    (lab / "fleet.toml").symlink_to(others / "0")
    (lab / cleanup.CLAIM).touch()
    both, unlink, gone = threading.Barrier(2, timeout=120), Path.unlink, list[str]()

    def watched(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is
        both.wait()
        unlink(path, missing_ok)
        gone.append(path.name)

    monkeypatch.setattr(Path, "unlink", watched)
    cleanup.remove_files(lab)
    cleanup.remove_files(others)
    assert sorted(gone) == ["0", "1", "2", "fleet.toml"]
    assert not lab.exists()
    assert len(list(others.iterdir())) == 3
