"""What a fleet costs: only what has a source is added up, and the rest is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from resilience import config
from resilience.config.prices import load_prices
from resilience.decide.cost import cost
from resilience.model import Fleet
from resilience.model.cost import Usage, left_out, totals

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.toml"))
HOBBY = next(path for path in EXAMPLES if path.stem == "hobby")


def test_no_source_no_price() -> None:
    """Every price names where it was read and on which day, and no day is to come."""
    prices = load_prices()
    told = [(price.source, price.day) for price in prices.storage] + [
        (price.source, price.day) for price in prices.hosts
    ]
    for source, day in told:
        assert source
        assert date(2020, 1, 1) < day <= date.today()  # noqa: DTZ011 - days, not moments


def test_the_hobby_fleet_stays_under_twenty() -> None:
    """One host and two vaults with 50 GB: everything is priced, in whichever money, below 20 a month together."""
    found = cost(config.load(HOBBY), load_prices(), Usage(stored_gb=50, busy=0.1))
    assert left_out(found.month) == ()
    assert 0 < sum(totals(found.month).values()) < 20


def test_what_has_no_price_is_named_and_not_guessed() -> None:
    """A store that the table does not know is a line without an amount, and the total says so."""
    fleet = config.load(HOBBY)
    unknown = replace(fleet.vaults[0], endpoint="https://s3.nowhere.example")
    found = cost(replace(fleet, vaults=(unknown, fleet.vaults[1])), load_prices(), Usage(50, 0.1))
    assert any("nowhere" in what for what in left_out(found.month))
    assert any("read once from google" in what for what in left_out(found.evacuation))


def test_spacing_costs_puts() -> None:
    """Ten times as many batches are ten times as many PUTs, and cost as much more."""
    fleet = config.load(HOBBY)
    dense = replace(fleet, replication=replace(fleet.replication, spacing_ms=500))

    def puts(of: Fleet) -> float:
        lines = cost(of, load_prices(), Usage(50, 1.0)).month
        return sum(line.amount or 0.0 for line in lines if "PUTs" in line.what)

    assert puts(dense) == pytest.approx(10 * puts(fleet), rel=0.01)


def test_a_standby_that_follows_costs_gets() -> None:
    """While nothing is written ship looks for a newer epoch three times a lease and for its own once a minute, and a hot standby asks 3.5 times a second besides."""
    fleet = config.load(HOBBY)
    followed = replace(fleet, sites=(fleet.sites[0], replace(fleet.sites[1], standby="hot")))

    def gets(of: Fleet) -> list[float]:
        return [line.amount or 0.0 for line in cost(of, load_prices(), Usage(50, 0.0)).month if "GETs" in line.what]

    month = 30 * 86400
    by_ship = month * (3 / fleet.replication.lease_s + 1 / 60) / 1000 * 0.0004
    assert gets(fleet) == pytest.approx([by_ship] * 2, abs=0.01)
    assert gets(followed) == pytest.approx([by_ship + month * 3.5 / 1000 * 0.0004] * 2, abs=0.01)


def test_more_than_a_price_covers_has_none() -> None:
    """A base price that holds for 1 TB says nothing of two."""
    fleet = config.load(HOBBY)
    box = replace(fleet.vaults[0], endpoint="https://nbg1.your-objectstorage.com")
    boxed = replace(fleet, vaults=(box,))
    assert totals(cost(boxed, load_prices(), Usage(900, 0.1)).month)["EUR"] == pytest.approx(9.11)
    assert any("objectstorage" in what for what in left_out(cost(boxed, load_prices(), Usage(2000, 0.1)).month))


def test_european_vendors_have_a_total_that_says_what_it_leaves_out() -> None:
    """Both hosts are priced; the three stores whose prices nobody could show are named, not guessed."""
    european = config.load(next(path for path in EXAMPLES if path.stem == "european"))
    found = cost(european, load_prices(), Usage(stored_gb=50, busy=0.1))
    assert totals(found.month) == {"EUR": pytest.approx(81.17)}
    assert [what.split()[1] for what in left_out(found.month)] == ["ovh", "scaleway", "exoscale"]
    unnamed = replace(european, sites=(european.sites[0], replace(european.sites[1], type="")))
    assert any("gravelines" in what for what in left_out(cost(unnamed, load_prices(), Usage(50, 0.1)).month))
