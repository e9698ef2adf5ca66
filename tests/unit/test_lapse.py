"""A site whose lease lapsed goes on once Postgres was really started again, and as long as it may still write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.replication import guard, lapse

STARTS = 'n=$(cat tries 2>/dev/null || echo 0); echo $((n + 1)) > tries; [ "$n" -ge {} ]'
"""A start that is refused so many times, as of a unit that is masked once more after it was unmasked."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `go_on` is told of a host whose Postgres can't be started the first two times."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / lapse.MARK).touch()
    resume = [["true"], ["sh", "-c", STARTS.format(2)]]
    return SimpleNamespace(paths=SimpleNamespace(spool=tmp_path), postgres=SimpleNamespace(resume=resume))


def test_it_starts_postgres_until_that_is_started(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each try the vaults say anew that there is no newer epoch; until then it is remembered that writes were stopped."""
    asked, waited = list[bool](), list[float]()

    def alone(*_: object) -> Any:
        asked.append((tmp_path / lapse.MARK).exists())
        return SimpleNamespace(since=lambda: {"elm": 1.0})

    monkeypatch.setattr(lapse, "_alone", alone)
    assert lapse.go_on(config, waited.append) == {"elm": 1.0}
    assert (tmp_path / "tries").read_text() == "3\n"
    assert (asked, waited) == ([True] * 3, [lapse.PAUSE] * 2)
    assert not (tmp_path / lapse.MARK).exists()


def test_it_does_not_start_it_where_another_site_may_write_by_then(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer epoch between two tries ends them."""
    leases = iter([SimpleNamespace(since=dict), None])
    monkeypatch.setattr(lapse, "_alone", lambda *_: next(leases))
    assert lapse.go_on(config, lambda _: None) is None
    assert (tmp_path / "tries").read_text() == "1\n"
    assert (tmp_path / lapse.MARK).exists()


def test_writes_are_stopped_where_that_cannot_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes nothing keeps nobody from being fenced; it is noted once there is room."""
    spool, stopping, fenced = tmp_path / "spool", threading.Event(), list[str]()
    spool.touch()  # nothing can be written below a file
    config = SimpleNamespace(
        paths=SimpleNamespace(spool=spool), postgres=SimpleNamespace(dsn=""), leased=True, record=None
    )

    def fence(_: object) -> None:
        fenced.append("fenced")
        spool.unlink()

    monkeypatch.setattr(guard, "_told", lambda _: config)
    monkeypatch.setattr(guard, "_left", lambda _: -1.0)
    monkeypatch.setattr("resilience.replication.turn.start", lambda told: told)
    monkeypatch.setattr(guard, "accepts", lambda _: not fenced)
    monkeypatch.setattr(guard, "fence", fence)
    monkeypatch.setattr(guard, "kill", lambda _: fenced.append("killed"))
    watching = threading.Thread(target=guard.watch, args=(tmp_path / "none", stopping))
    watching.start()
    until(lambda: (spool / lapse.MARK).exists() or not watching.is_alive())
    stopping.set()
    watching.join(60)
    assert fenced == ["fenced", "killed"]
    assert (spool / lapse.MARK).exists()


def until(what: Callable[[], object]) -> None:
    """Wait for a thread."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)
