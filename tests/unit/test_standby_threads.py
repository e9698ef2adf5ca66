"""What a standby fetches beside the WAL is fetched on, whatever a vault or a fault of ours throws; and nothing says 0 that nobody looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.replication import layout, seals
from resilience.replication.entries import Entries
from resilience.replication.pictures import Pictures

IDENTITY = pyrage.x25519.Identity.generate()


class Odd(MemoryVault):
    """Throws what no vault's error is, as long as it is odd."""

    odd = False

    def get(self, key: str) -> bytes | None:
        """As botocore did on a redirect."""
        if self.odd:
            raise RecursionError(key)
        return super().get(key)

    def list(self, prefix: str) -> list[str]:
        """Likewise."""
        if self.odd:
            raise RecursionError(prefix)
        return super().list(prefix)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a standby that looks often."""
    for module in ("pictures", "entries"):
        monkeypatch.setattr(f"resilience.replication.{module}.EVERY", 0.01)
    paths = SimpleNamespace(media=tmp_path / "media", wal=tmp_path / "wal")
    paths.media.mkdir()
    return SimpleNamespace(vaults=[], paths=paths, key=lambda: str(IDENTITY), ledger_check=None, apart=frozenset())


def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_pictures_are_looked_for_again(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While that fails nobody says that none is lacking; then they are counted again."""
    vault, stopping, names = Odd("cedar"), Event(), list[str]()
    pictures = Pictures(config, SimpleNamespace(margin=0), {"cedar": vault}, stopping)  # type: ignore[arg-type]
    monkeypatch.setattr(pictures, "_rows", lambda _: list(enumerate(names)))
    pictures.start()
    try:
        until(lambda: pictures.lacking == 0)
        vault.odd = True
        names.append("ab" * 32)
        until(lambda: pictures.lacking is None)
        vault.odd = False
        until(lambda: pictures.lacking == 1)
    finally:
        stopping.set()
        pictures.join()


def test_what_is_no_pictures_name_counts_as_lacking(
    config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is not looked for: a path that leads to a file elsewhere is no picture that is here."""
    (tmp_path / "elsewhere").touch()
    stopping = Event()
    pictures = Pictures(config, SimpleNamespace(margin=0), {"cedar": Odd("cedar")}, stopping)  # type: ignore[arg-type]
    names = ["../elsewhere", str(tmp_path / "elsewhere"), "ab" * 32]
    monkeypatch.setattr(pictures, "_rows", lambda _: list(enumerate(names)))
    pictures.start()
    try:
        until(lambda: pictures.lacking == len(names))
    finally:
        stopping.set()
        pictures.join()


def test_the_ledger_is_looked_at_again(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which entries are here is told once a vault was looked at, be it that there is none."""
    vault, stopping, looked = Odd("cedar"), Event(), list[str]()
    vault.odd = True
    entries = Entries(config, {"cedar": vault}, lambda: 1, stopping)
    cycle = entries.cycle

    def counted() -> None:
        looked.append("")
        cycle()

    monkeypatch.setattr(entries, "cycle", counted)
    entries.start()
    try:
        until(lambda: len(looked) > 1)
        assert entries.held is None
        vault.odd = False
        until(lambda: entries.held == 0)
        vault.put_new(layout.ledger(1, 1), seals.encrypt(b"told", [str(IDENTITY.to_public())]))
        until(lambda: entries.held == 1)
    finally:
        stopping.set()
        entries.join()
