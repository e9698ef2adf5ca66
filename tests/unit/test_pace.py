"""When ship cuts a chunk, and what commits wait for it, by a clock that nobody waits for."""

from __future__ import annotations

from statistics import median

import pytest

from resilience.replication.pace import GATHER_S, Pace

SPACING_S = 0.01
STEP_S = 0.0005


def waits(clients: int, put_s: float, answer_s: float = 0.001, seconds: float = 5.0) -> list[float]:
    """What each commit of so many clients waits where vaults take so long, each a moment after its last one was held."""
    pace, now = Pace(SPACING_S), 1.0
    asked = {client: now + client * STEP_S for client in range(clients)}
    on_its_way: set[int] = set()
    held_at, found = 0.0, []
    while now < 1.0 + seconds:
        now += STEP_S
        if on_its_way and now >= held_at:
            found += [now - asked[client] for client in on_its_way]
            asked |= dict.fromkeys(on_its_way, now + answer_s)
            on_its_way = set()
        pace.hear(now, held=not on_its_way)
        batch = {client for client, at in asked.items() if at <= now}
        if batch and not on_its_way and now >= pace.due():
            on_its_way, held_at = batch, now + put_s
            pace.cut(now)
    return found


@pytest.mark.parametrize("put_s", [0.002, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("clients", [1, 2, 4, 16])
def test_a_commit_waits_for_one_put_however_many_clients_there_are(clients: int, put_s: float) -> None:
    """Clients that commit again at once go along with the next chunk: two parties that take turns would each wait for two PUTs."""
    assert median(waits(clients, put_s)) <= 1.2 * put_s + SPACING_S


def test_nobody_waits_for_who_does_not_come() -> None:
    """A commit after a pause is cut at once."""
    pace = Pace(SPACING_S)
    pace.cut(1.0)
    pace.hear(1.05, held=True)
    assert pace.due() <= 1.06


def test_chunks_are_no_closer_than_asked() -> None:
    """However quick the vaults are."""
    pace = Pace(SPACING_S)
    pace.cut(1.0)
    pace.hear(1.001, held=True)
    assert pace.due() == 1.0 + SPACING_S


def test_vaults_that_answer_late_are_not_waited_for_long() -> None:
    """What comes meanwhile gathers for one PUT, but is cut after a while all the same: it must be durable here and on its way."""
    pace = Pace(SPACING_S)
    pace.cut(1.0)
    pace.hear(1.1, held=False)
    assert pace.due() == 1.0 + GATHER_S


def test_after_a_long_silence_of_the_vaults_nobody_waits_once_more() -> None:
    """Whoever comes then is on its way as soon as ever."""
    pace = Pace(SPACING_S)
    pace.cut(1.0)
    pace.hear(301.0, held=True)
    assert pace.due() <= 301.0 + GATHER_S
