"""Stages in whole failovers: held, refused, and opened later."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.errors import Refused, UsageError
from resilience.model import Stage
from tests.sim.stage import Stage as Theatre
from tests.sim.stage import attempt, begun, day_one
from tests.sim.test_certificates import with_authorities
from tests.sim.typed import typing_at


def lost() -> Theatre:
    """A stage whose primary's vendor is gone, and where somebody moderates."""
    theatre = day_one()
    theatre.state.moderators = 1
    theatre.state.lose("acorn")
    return theatre


def at(theatre: Theatre) -> Stage:
    """How far birch is open."""
    return theatre.state.hosts["birch"].stage


def leads_there(theatre: Theatre) -> bool:
    """Whether the name leads to birch."""
    return theatre.state.zones["dover"] == theatre.state.outputs["birch"].addresses


def acted(theatre: Theatre) -> list[str]:
    """What the newest plan did, in order."""
    events = theatre.world.log.read()
    began = max(n for n, event in enumerate(events) if event.kind == "plan")
    return [event.data["action"] for event in events[began:] if event.kind == "step-done"]


def test_a_failover_opens_everything() -> None:
    """One stage after the other, each journalled."""
    theatre = lost()
    theatre.operator.failover()
    assert theatre.state.hosts["birch"].stage == Stage.SIGN_UPS
    said = [e.data["stage"] for e in theatre.world.log.read() if e.kind == "opened"]
    assert said[-3:] == ["read-only", "writes", "sign-ups"]


@pytest.mark.parametrize("hold", [Stage.READ_ONLY, Stage.WRITES, Stage.SIGN_UPS])
def test_a_held_stage_stays_shut_until_it_is_opened(hold: Stage) -> None:
    """The failover ends well one stage below; writes are refused where they are held; `open` goes on from there."""
    theatre = lost()
    theatre.operator.failover(hold=hold)
    birch = theatre.state.hosts["birch"]
    assert birch.stage.rank == hold.rank - 1
    assert (theatre.post(1, "birch") == 1) is birch.stage.covers(Stage.WRITES)
    assert leads_there(theatre) is (hold != Stage.READ_ONLY), "a name never moves to a site where nobody may even read"
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert birch.stage == Stage.SIGN_UPS
    assert leads_there(theatre)
    assert theatre.post(1) == 1


def certified() -> Theatre:
    """A stage whose name is served by HTTPS, and whose primary's vendor is gone."""
    theatre = begun(with_authorities())
    theatre.state.moderators = 1
    theatre.state.lose("acorn")
    return theatre


@pytest.mark.parametrize("began", [lost, certified])
def test_opening_goes_on_with_all_that_the_held_failover_left_out(began: Callable[[], Theatre]) -> None:
    """The name, at the vendors that are left, with its TTL and certificate; users are seen to get through; the lost vendor is not called."""
    theatre = began()
    theatre.operator.failover(hold=Stage.READ_ONLY)
    theatre.state.ttls["dover"] = 3600
    with theatre.monitor.nobody_calls(frozenset({"acorn"})):
        theatre.operator.open("birch", Stage.READ_ONLY)
    assert leads_there(theatre)
    assert theatre.state.ttls["dover"] == theatre.fleet.names.ttl_s
    certified = ["certify"] if theatre.fleet.names.authorities else []
    assert acted(theatre) == ["verify", "open", "point", *certified, "confirm", "media"]
    theatre.operator.open("birch", Stage.WRITES)
    assert acted(theatre) == ["verify", "open", "media"], "the name leads there"
    assert theatre.post(1) == 1


def test_a_name_moves_to_no_site_that_is_not_opened() -> None:
    """A takedown that came since is not applied there: it stays closed, and the name where it is."""
    theatre = lost()
    theatre.operator.failover(hold=Stage.READ_ONLY)
    for name in ("cedar", "elm"):
        theatre.state.vaults[name].objects["ledger/00000001/00000003"] = b"post5"
    with pytest.raises(Refused, match="not opened up to read-only"):
        theatre.operator.open("birch", Stage.SIGN_UPS)
    assert at(theatre) == Stage.CLOSED
    assert not leads_there(theatre)


def test_a_zone_that_does_not_say_where_it_leads_is_pointed() -> None:
    """It may still lead users to the old site."""
    theatre = lost()
    theatre.operator.failover(hold=Stage.READ_ONLY)
    theatre.break_next("zone.dover.addresses")
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert leads_there(theatre)


@pytest.mark.parametrize("hold", [Stage.READ_ONLY, Stage.WRITES])
def test_a_held_site_is_protected_as_far_open_as_it_is(hold: Stage) -> None:
    """Where nobody may read no name moves there; where people may, reading is what they are seen to do."""
    theatre = lost()
    theatre.operator.failover(hold=hold)
    theatre.state.zones["dover"] = theatre.state.outputs["acorn"].addresses
    theatre.operator.protect({"acorn"})
    assert at(theatre).rank == hold.rank - 1
    assert leads_there(theatre) is (hold != Stage.READ_ONLY)


def test_closing_moves_no_name() -> None:
    """Down is at once, and needs nothing, wherever the name leads."""
    theatre = lost()
    theatre.operator.failover(hold=Stage.READ_ONLY)
    theatre.operator.open("birch", Stage.CLOSED)
    assert not leads_there(theatre)


def test_a_site_that_was_opened_and_to_which_no_name_leads_is_given_it() -> None:
    """An older build opened it, and left the name at the dead site: the same stage once more is enough."""
    theatre = lost()
    theatre.operator.failover(hold=Stage.WRITES)
    theatre.operator.open("birch", Stage.SIGN_UPS)
    theatre.state.zones["dover"] = theatre.state.outputs["acorn"].addresses
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert leads_there(theatre)


def test_what_is_printed_says_how_far_the_site_is_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is told that a closed site serves; and each command says what opens it further."""
    theatre = lost()
    typing_at(theatre, theatre.world, monkeypatch, tmp_path)
    held = "failover --hold read-only"
    shown = CliRunner().invoke(cli.app, held.split())
    assert isinstance(shown.exception, UsageError)
    hazards = re.findall(r"with --accept ([a-z-]+)", " ".join(shown.output.split()))
    approved = f"{held} --digest {shown.exception.next.split()[-1]} {' '.join(f'--accept {name}' for name in hazards)}"
    for line, said in (
        (approved, "birch is ready, and serves nobody yet. It is closed: `resilience open sign-ups` opens it further."),
        ("open read-only", "birch is at read-only. plaza.test leads there."),
        ("open writes", "birch is at writes."),
    ):
        done = CliRunner().invoke(cli.app, line.split())
        assert done.exception is None, done.exception
        assert " ".join(done.output.split()).endswith(said)


def test_sign_ups_wait_for_a_moderator() -> None:
    """The site serves and the command ends well; new users come once somebody can reach the queue."""
    theatre = lost()
    theatre.state.moderators = 0
    theatre.operator.failover()
    assert at(theatre) == Stage.WRITES
    assert [e.data["stage"] for e in theatre.world.log.read() if e.kind == "held"] == ["sign-ups"]
    theatre.state.moderators = 1
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert at(theatre) == Stage.SIGN_UPS


def test_a_ledger_that_is_behind_opens_nothing() -> None:
    """An entry that enough vaults hold, put there after the replay: the site stays closed and the name where it is."""
    theatre = lost()

    def late(door: str) -> None:
        if door == "app.birch.replay_ledger":
            for name in ("cedar", "elm"):
                theatre.state.vaults[name].objects["ledger/00000001/00000003"] = b"post5"

    theatre.state.watchers.append(late)
    with pytest.raises(Refused, match="not opened up to read-only"):
        theatre.operator.failover()
    assert theatre.state.hosts["birch"].stage == Stage.CLOSED
    assert theatre.state.zones["dover"] == theatre.state.outputs["acorn"].addresses
    assert attempt(theatre.operator.failover) is None, "run again, the entry is fetched and replayed"


def test_closing_is_at_once_and_needs_nothing() -> None:
    """Down to reading: the next write is refused."""
    theatre = lost()
    theatre.operator.failover()
    theatre.operator.open("birch", Stage.READ_ONLY)
    assert theatre.post(1, "birch") == 0
