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


def lease(looks: int) -> Any:
    """One that stands so many times that it is looked at."""
    stands = iter([True] * looks)
    return SimpleNamespace(stands=lambda: next(stands, False))


class Hurry(threading.Event):
    """Nothing is waited for; it is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        """At once."""
        self.waited.append(timeout)
        return False


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `go_on` is told of a host whose Postgres can't be started the first two times."""
    monkeypatch.chdir(tmp_path)
    told: Any = SimpleNamespace(
        paths=SimpleNamespace(spool=tmp_path / "spool", run=tmp_path / "run"),
        postgres=SimpleNamespace(resume=[["true"], ["sh", "-c", STARTS.format(2)]]),
    )
    assert lapse.note(told)
    return told


def tries(config: Any) -> int:
    """How often Postgres was to be started."""
    return int((config.paths.spool.parent / "tries").read_text())


def test_it_starts_postgres_until_that_is_started(config: Any) -> None:
    """Until then it is remembered that writes were stopped."""
    stopping = Hurry()
    lapse.go_on(config, lease(100), stopping)
    assert (tries(config), stopping.waited) == (3, [lapse.PAUSE] * 2)
    assert lapse.noted(config) == []


def test_it_does_not_start_it_where_the_lease_no_longer_stands(config: Any) -> None:
    """Between two tries, or two commands: nothing more is run, and it stays noted."""
    lapse.go_on(config, lease(5), Hurry())
    assert tries(config) == 1
    assert lapse.noted(config)


def test_it_stays_noted_where_the_lease_ended_while_postgres_started(config: Any) -> None:
    """Whoever stops that Postgres may be killed before it notes so itself."""
    config.postgres.resume = [["true"]]
    lapse.go_on(config, lease(2), Hurry())
    assert lapse.noted(config)


def test_what_is_noted_while_postgres_starts_is_not_taken_away(config: Any) -> None:
    """The guard stopped it again: it is started once more."""
    again = f'n=$(cat tries 2>/dev/null || echo 0); echo $((n + 1)) > tries; [ "$n" -ge 1 ] || touch spool/{lapse.MARK}-again'
    config.postgres.resume = [["sh", "-c", again]]
    lapse.go_on(config, lease(100), Hurry())
    assert tries(config) == 2
    assert lapse.noted(config) == []


def test_it_is_noted_in_memory_where_the_disk_takes_nothing(config: Any) -> None:
    """So a ship that is started again goes on from there, whether or not there is room by then."""
    for mark in lapse.noted(config):
        mark.unlink()
    config.paths.spool.rmdir()
    config.paths.spool.touch()  # nothing can be written below a file
    assert lapse.note(config)
    assert [mark.parent for mark in lapse.noted(config)] == [config.paths.run]


def test_writes_are_stopped_where_that_cannot_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks that take nothing keep nobody from being fenced; it is noted once there is room."""
    spool, stopping, fenced = tmp_path / "spool", threading.Event(), list[str]()
    spool.touch()  # nothing can be written below a file
    config: Any = SimpleNamespace(
        paths=SimpleNamespace(spool=spool, run=spool / "run"),
        postgres=SimpleNamespace(dsn=""),
        leased=True,
        record=None,
    )

    monkeypatch.setattr(guard, "_told", lambda _: config)
    monkeypatch.setattr(guard, "_left", lambda _: -1.0)
    monkeypatch.setattr("resilience.replication.turn.start", lambda told: told)
    monkeypatch.setattr(guard, "accepts", lambda _: not fenced)
    monkeypatch.setattr(guard, "fence", lambda _: fenced.append("fenced"))
    monkeypatch.setattr(guard, "kill", lambda _: fenced.append("killed"))
    watching = threading.Thread(target=guard.watch, args=(tmp_path / "none", stopping))
    watching.start()
    until(lambda: fenced[1:] or not watching.is_alive())
    assert not lapse.noted(config)
    spool.unlink()
    until(lambda: lapse.noted(config) or not watching.is_alive())
    stopping.set()
    watching.join(60)
    assert fenced == ["fenced", "killed"]
    assert lapse.noted(config)


def test_it_is_noted_once_more_when_postgres_is_dead(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ship that went on meanwhile, and took the first note away, started what the guard then ended for good."""
    stopping, ended = threading.Event(), list[str]()
    config.postgres.dsn, config.leased = "", True

    def kill(_: object) -> None:
        for mark in lapse.noted(config):
            mark.unlink()
        ended.append("killed")

    monkeypatch.setattr(guard, "_told", lambda _: config)
    monkeypatch.setattr(guard, "_left", lambda _: -1.0)
    monkeypatch.setattr("resilience.replication.turn.start", lambda told: told)
    monkeypatch.setattr(guard, "accepts", lambda _: not ended)
    monkeypatch.setattr(guard, "fence", lambda _: None)
    monkeypatch.setattr(guard, "kill", kill)
    watching = threading.Thread(target=guard.watch, args=(tmp_path / "none", stopping))
    watching.start()
    until(lambda: ended)
    stopping.set()
    watching.join(60)
    assert lapse.noted(config)


def until(what: Callable[[], object]) -> None:
    """Wait for a thread."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)
