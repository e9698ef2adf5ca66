"""What may pile up for vaults that don't take it, and what happens then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from resilience.replication.limits import Decision, Limits, Rules, decide
from resilience.replication.spool import Spool
from resilience.replication.writes import Writes

ALL = frozenset({"birch", "cedar", "elm"})
NOTHING = Decision((), stop=False)
STOP = Decision((), stop=True)


@pytest.mark.parametrize(
    ("past", "backlog", "whole", "kept", "stopped", "expected"),
    [
        ("drop", {"elm": 100}, ALL, 0, False, NOTHING),
        ("drop", {"elm": 101}, ALL, 0, False, Decision(("elm",), stop=False)),
        ("stop", {"elm": 101}, ALL, 0, False, STOP),
        ("drop", {"elm": 101, "cedar": 101}, ALL, 0, False, STOP),
        ("drop", {"elm": 101}, ALL - {"birch"}, 0, False, STOP),
        ("drop", {"elm": 101}, ALL - {"elm"}, 0, False, Decision(("elm",), stop=False)),
        ("drop", {"elm": 101, "birch": 100, "cedar": 100}, ALL, 0, False, Decision(("elm",), stop=False)),
        ("drop", {}, ALL, 101, False, STOP),
        ("stop", {"elm": 51}, ALL, 0, True, STOP),
        ("stop", {"elm": 50}, ALL, 0, True, NOTHING),
        ("drop", {"elm": 51}, ALL, 0, True, Decision(("elm",), stop=False)),
    ],
    ids=[
        "at the limit",
        "past it the vault is left",
        "or writes stop",
        "never fewer than k",
        "one has a hole already",
        "the same one again",
        "others may lag, within the limit",
        "WAL that Postgres keeps",
        "writes go on at half",
        "and not before",
        "a hole ends a stop",
    ],
)
def test_decisions(
    past: str, backlog: dict[str, int], whole: frozenset[str], kept: int, expected: Decision, *, stopped: bool
) -> None:
    """A limit of 100 bytes, k = 2 of three vaults."""
    full = dict.fromkeys(sorted(ALL), 0) | backlog
    assert decide(Rules(100, past, 2), full, whole, kept, stopped=stopped) == expected  # type: ignore[arg-type]


def test_no_vault_that_stays_is_left_behind_while_the_set_waits_to_change() -> None:
    """Ship goes on by those that have everything; the one that leaves may be behind."""
    waits = {"birch": 0, "cedar": 0, "elm": 101}
    assert decide(Rules(100, "drop", 2), waits, ALL, 0, stopped=False, needed=frozenset({"cedar", "elm"})) == STOP
    left = decide(Rules(100, "drop", 2), waits, ALL, 0, stopped=False, needed=frozenset({"birch", "cedar"}))
    assert left == Decision(("elm",), stop=False)


@pytest.mark.parametrize(
    ("past", "whole", "backlog", "needed", "expected"),
    [
        ("drop", ALL, {}, (), Decision(("elm",), stop=False)),
        ("stop", ALL, {}, (), Decision(("elm",), stop=False)),
        ("stop", ALL, {"elm": 101}, (), Decision(("elm",), stop=False)),
        ("drop", ALL - {"birch"}, {}, (), NOTHING),
        ("drop", ALL, {"birch": 101}, (), STOP),
        ("drop", ALL, {}, ("cedar", "elm"), NOTHING),
    ],
    ids=[
        "k others are whole",
        "whatever the operator chose",
        "nothing is owed to it, so nothing stops",
        "never fewer than k",
        "one of them is behind itself",
        "the set waits to change, and it stays",
    ],
)
def test_a_vault_that_was_emptied_counts_for_nothing_where_k_others_are_whole(
    past: str, whole: frozenset[str], backlog: dict[str, int], needed: tuple[str, ...], expected: Decision
) -> None:
    """Else it goes on counting: no answer of a store may stop writes for good."""
    full, rules = dict.fromkeys(sorted(ALL), 0) | backlog, Rules(100, past, 2)  # type: ignore[arg-type]
    gone = frozenset({"elm"})
    assert decide(rules, full, whole - gone, 0, stopped=False, needed=frozenset(needed), emptied=gone) == expected


@pytest.mark.parametrize(
    ("emptied", "backlog", "expected"),
    [
        ((), {"birch": 101}, STOP),
        (("birch",), {}, Decision(("birch",), stop=False)),
        (("birch",), {"birch": 101}, Decision(("birch",), stop=False)),
        (("birch",), {"elm": 101}, STOP),
        (("elm",), {}, Decision(("elm",), stop=False)),
    ],
    ids=["behind", "emptied", "both", "the locked one is behind", "the locked one"],
)
def test_a_vault_that_keeps_pictures_apart_has_all_wal(
    emptied: tuple[str, ...], backlog: dict[str, int], expected: Decision
) -> None:
    """So what was emptied is left behind for it; what others lack of pictures it has not, so none is left that merely lags."""
    full, gone = dict.fromkeys(sorted(ALL), 0) | backlog, frozenset(emptied)
    assert (
        decide(Rules(100, "drop", 2), full, ALL - gone, 0, stopped=False, emptied=gone, apart=frozenset({"elm"}))
        == expected
    )


def test_what_an_epoch_has_not_begun_to_ship_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much WAL a database ever wrote: only from where this epoch begins is it kept for the vaults, and then it counts."""
    monkeypatch.setattr("resilience.replication.limits.EVERY", 0.01)
    monkeypatch.setattr("resilience.replication.limits.flushed", lambda _: 20 << 30)
    spool, stopping = Spool(tmp_path, 1, sorted(ALL)), Event()
    limits, asked = watched(spool, tmp_path, stopping, backlog_mb=4096)
    limits.start()
    try:
        until(lambda: len(asked) > 2)
        assert (limits.server_end, set(asked), limits.alarms) == (20 << 30, {False}, [])
        spool.floor((20 << 30) - 100)
        until(lambda: len(asked) > 5)
        assert set(asked) == {False}
        limits.hear(40 << 30, 0.0)
        until(lambda: asked[-1])
        assert any("Postgres keeps" in alarm for alarm in limits.alarms)
    finally:
        stopping.set()
        limits.join(120)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (4 << 20, []),
        ((4 << 20) + 1, ["4 MB of at most 8 MB wait for elm"]),
        (8 << 20, ["8 MB of at most 8 MB wait for elm"]),
    ],
    ids=["half", "past half", "all of it"],
)
def test_a_vault_is_warned_of_from_half_of_the_limit_on(
    size: int, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the vault's name and both sizes, long before it is left behind; until then nothing is done."""
    monkeypatch.setattr("resilience.replication.limits.flushed", lambda _: 0)
    limits, asked = watched(
        Spool(tmp_path, 1, sorted(ALL)), tmp_path, Event(), backlog_mb=8, waits={"elm": size, "cedar": 4 << 20}
    )
    limits._look()
    assert (limits.alarms, asked) == (told, [False])


NOTHING_WAITS: Mapping[str, int] = {}


def watched(
    spool: Spool, folder: Path, stopping: Event, *, backlog_mb: int, waits: Mapping[str, int] = NOTHING_WAITS
) -> tuple[Limits, list[bool]]:
    """Limits of a ship whose outbox keeps so much for each vault; and each time whether writes were to stop, or not to wait."""
    asked = list[bool]()
    config: Any = SimpleNamespace(
        record=SimpleNamespace(vaults=sorted(ALL), k=2, nonce="n"),
        paths=SimpleNamespace(spool=folder),
        postgres=SimpleNamespace(dsn=""),
        backlog_mb=backlog_mb,
        past_backlog="drop",
        durability="async",
        apart=frozenset(),
    )
    outbox: Any = SimpleNamespace(backlog=lambda vault: (0, waits.get(vault, 0)), passed_over=None)
    emptied = SimpleNamespace(names=frozenset(), times=lambda _: 0)
    lease: Any = SimpleNamespace(superseded=None, following=None, emptied=emptied)
    limits = Limits(config, spool, outbox, lease, stopping, lambda: None)
    limits.writes = cast(
        "Writes",
        SimpleNamespace(
            stopped_since=None, degraded_since=None, be=lambda *, stopped, degraded: asked.append(stopped or degraded)
        ),
    )
    return limits, asked


def until(true: Callable[[], object]) -> None:
    """Wait for a thread."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
