"""A restore that ends where the operator says: what was written after is cut off, kept, and can be gone back to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from resilience.errors import Refused
from resilience.replication import config, lsn, point
from tests.replication.conftest import HALF
from tests.replication.harness import Fleet, Site, wait_until


def find(site: Site, at: str | None, of: int | None = None) -> dict[str, Any]:
    """Where a restore to a moment would end."""
    return point.main(config.load(str(site.config(standby=True, signing_key_file=None))), at, of)


def moment(seconds: float) -> str:
    """A time, as a person types it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def restore(site: Site, found: dict[str, Any]) -> int:
    """The site is made anew up to there; the timeline that it got."""
    merged = site.run("restore", config=site.config(until={"epoch": found["epoch"], "lsn": found["lsn"]}))
    assert merged["end_lsn"] == found["lsn"]
    assert lsn.parse(merged["confirmed_lsn"]) <= lsn.parse(found["lsn"])
    return int(site.run("recover")["timeline"])


def ship(site: Site, first: int, last: int) -> None:
    """It goes on with these rows."""
    site.ship()
    site.insert(first, last)
    site.wait_confirmed()


def lose(site: Site) -> None:
    """Power off."""
    site.kill_postgres()
    site.end()


def test_cut_off_and_back_again(sites: Callable[..., Site], lost: Fleet) -> None:
    """Rows up to a time, and none after; a move goes on from there; then all that was cut off is brought back.

    No timeline gets a number twice, a snapshot that was cut off is passed over, and a standby that replayed too much is made anew.
    """
    standby = sites(lost, "dover", standby=True)
    following = standby.follow()
    wait_until(lambda: standby.has(200), standby.told_by_standby)
    everything = find(standby, None, 1)
    found = find(standby, moment(lost.half[0]))
    assert (found["epoch"], found["end_lsn"]) == (1, everything["lsn"])
    assert found["at"] <= lost.half[0]
    for outside in (everything["lsn"], moment(0), "2999-01-01"):
        with pytest.raises(Refused):
            find(standby, outside)

    birch = sites(lost, "birch")
    assert restore(birch, found) == 2
    kept = birch.rows()
    assert kept == list(range(1, HALF + 1))
    ship(birch, 1001, 1040)
    birch.run("init-repo", config=birch.config("operator"))
    birch.run("snapshot", config=birch.ship_config())
    birch.insert(1041, 1060)
    birch.wait_confirmed()
    assert following.wait(120) == 5, standby.told_by_standby()
    standby.follow()
    wait_until(lambda: standby.has(HALF + 60), standby.told_by_standby)
    lose(birch)

    cedar = sites(lost, "cedar")
    cedar.run("restore")
    assert cedar.run("recover")["timeline"] == 3
    assert cedar.rows() == [*kept, *range(1001, 1061)]
    ship(cedar, 2001, 2002)
    lose(cedar)

    assert find(standby, None, 1)["end_epoch"] == 3
    elm = sites(lost, "elm")
    assert restore(elm, everything) == 4
    assert elm.rows() == list(range(1, 201))
