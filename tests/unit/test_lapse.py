"""A site whose lease lapsed goes on once Postgres was really started again, and as long as it may still write."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.replication import lapse

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
