"""A vendor's letter, as it is typed: filed under whom it is from, and obeyed by whoever serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.errors import ResilienceError, UsageError
from resilience.simulation import SimLog
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.typed import typing_at

PAST, SOON, LATER = "2023-11-01T12:00Z", "2023-11-15T12:00Z", "2023-11-16T12:00Z"
"""The simulation begins on 14 November 2023."""


def typed(*words: str) -> Result:
    """One command line."""
    return CliRunner().invoke(cli.app, words)


def usage(*words: str) -> UsageError:
    """What a command line that cannot be meant so is told."""
    said = typed(*words)
    assert isinstance(said.exception, UsageError), (said.output, said.exception)
    return said.exception


def answer(*words: str) -> Any:
    """What a command that went well prints for machines."""
    said = typed(*words, "--json")
    assert said.exit_code == 0, (said.output, said.exception)
    return json.loads(said.stdout)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fleet that moved from acorn to birch."""
    made = day_one()
    made.operator.switchover()
    typing_at(made, made.world, monkeypatch, tmp_path)
    return made


Letters = Callable[..., str]


@pytest.fixture
def letter(tmp_path: Path) -> Letters:
    """Writes a letter, an e-mail where it is from somebody, and says where it lies."""

    def write(text: str, sender: str = "", reference: str = "") -> str:
        head = f"From: {sender}\nDate: Mon, 13 Nov 2023 10:00:00 +0000\nMessage-ID: <{reference}>\n\n" if sender else ""
        place = tmp_path / f"letter-{len(list(tmp_path.glob('letter-*')))}"
        place.write_text(head + text)
        return str(place)

    return write


def plan_of(error: UsageError) -> dict[str, Any]:
    """The plan that waits for its digest."""
    assert error.what == "No plan was approved.", error
    found: dict[str, Any] = json.loads(Path("plans", f"{error.next.split()[-1]}.json").read_text())
    return found


def test_after_a_move_a_letter_is_of_whom_serves(stage: Stage, letter: Letters) -> None:
    """Typed as the runbook says: filed under birch, where the app went, and the way out of birch is planned."""
    added = answer("notice", "add", letter("The account ends within 30 hours."))
    assert added["vendor"] == "birch"
    assert plan_of(usage("evacuate"))["source"] == "birch"
    assert stage.post(1) == 1


def test_who_wrote_it_has_to_be_said_where_nobody_can_look(stage: Stage, letter: Letters) -> None:
    """Offline; where one old vault answers, which shows acorn's epoch still; and where none does."""
    text = letter("The account ends within 30 hours.")
    assert "--vendor" in usage("notice", "add", text, "--offline").next
    for lost in (("elm", "cedar"), ("birch",)):
        for vendor in lost:
            stage.state.lose(vendor)
        told = usage("notice", "add", text)
        assert "--vendor acorn or --vendor birch" in told.next
        assert "No vault tells which site serves" in told.why
    assert answer("notice", "list") == []
    assert answer("notice", "add", text, "--offline", "--vendor", "birch")["vendor"] == "birch"
    assert answer("notice", "add", text, "--vendor", "birch")["vendor"] == "birch"


def test_a_site_s_name_is_no_vendor_s(stage: Stage, letter: Letters) -> None:
    """Whose site it is, and no option that this command lacks."""
    stage.fleet = replace(stage.fleet, sites=(*stage.fleet.sites, replace(stage.fleet.site("birch"), name="beech")))
    told = usage("notice", "add", letter("The account ends within 30 hours."), "--vendor", "beech")
    assert told.next == "Its vendor is birch."
    assert answer("notice", "list") == []


@pytest.mark.parametrize(
    ("text", "sender", "other"),
    [
        ("The account ends within 30 hours.", "Acorn Trust <abuse@acorn.test>", "acorn"),
        ("Acorn ends your account within 30 hours.", "", "acorn"),
        ("Acorn ends your account within 30 hours; go to birch.", "", "acorn"),
        ("Acorn ends your account within 30 hours.", "Our operator <me@plaza.test>", "acorn"),
        ("Your zone goes within 30 hours.", "abuse@dover.test", "dover"),
    ],
)
def test_a_letter_that_names_another_vendor_is_not_guessed(
    stage: Stage, letter: Letters, text: str, sender: str, other: str
) -> None:
    """By its sender, else by its words: the operator says whose it is, and nothing is filed before."""
    told = usage("notice", "add", letter(text, sender, "1@it"))
    assert other in told.what
    assert f"--vendor {other}" in told.next
    assert "--vendor birch" in told.next
    assert answer("notice", "list") == []
    assert stage.monitor.newest() is not None


def test_a_sender_outweighs_words(stage: Stage, letter: Letters) -> None:
    """Birch may write of acorn; a name within a longer word is none."""
    words = "Unlike acorn we end your account within 30 hours. Felm, elms."
    assert answer("notice", "add", letter(words, "abuse@birch.test", "1@it"))["vendor"] == "birch"
    assert answer("notice", "add", letter("Cedars and elms go within 30 hours."))["vendor"] == "birch"
    assert stage.post(1) == 1


def test_the_letter_that_lies_ahead_of_whom_serves_is_obeyed(stage: Stage, letter: Letters, tmp_path: Path) -> None:
    """Last year's of acorn, an older one of birch that was withdrawn, and today's of birch: today's, with half of its own time."""
    host = stage.fleet.names.host
    old = answer("notice", "add", letter(f"http://{host}/@ann/1"), "--vendor", "acorn", "--deadline", PAST)
    gone = answer("notice", "add", letter(f"http://{host}/@ann/2"), "--vendor", "birch", "--deadline", PAST)
    today = answer("notice", "add", letter(f"http://{host}/@ann/3. The account ends within 30 hours."))
    planned = plan_of(usage("evacuate", "--to", "cedar"))
    until = next(step["args"]["until"] for step in planned["steps"] if step["action"] == "ahead")
    assert until == pytest.approx((today["received_at"] + today["deadline_at"]) / 2)
    assert planned["source"] == "birch"
    for reference, page in ((), "3"), ((old["reference"],), "1"), ((gone["reference"],), "2"):
        answer("notice", "evidence", *reference, "--to", str(tmp_path / "evidence"))
        assert (tmp_path / "evidence").read_text() == f"http://{host}/@ann/{page}"


def test_several_that_lie_ahead_are_named(stage: Stage, letter: Letters) -> None:
    """Each with its deadline, the next first; one of them is typed."""
    assert typed("notice", "add", letter("Go.", "abuse@birch.test", "2@birch"), "--deadline", LATER).exit_code == 0
    assert typed("notice", "add", letter("Go now.", "abuse@birch.test", "1@birch"), "--deadline", SOON).exit_code == 0
    told = usage("evacuate")
    assert told.why.index("1@birch") < told.why.index("2@birch")
    assert "resilience evacuate 1@birch" in told.next
    assert plan_of(usage("evacuate", "2@birch"))["source"] == "birch"
    assert stage.post(1) == 1


def test_a_vendor_that_is_late_is_left_by_naming_its_letter(stage: Stage, letter: Letters) -> None:
    """The deadline has passed and birch still serves: said, with what to type."""
    adding = ("notice", "add", letter("Go.", "abuse@birch.test", "1@birch"), "--deadline", PAST)
    assert typed(*adding).exit_code == 0
    told = usage("evacuate")
    assert "passed" in told.what
    assert "resilience evacuate 1@birch" in told.next
    assert plan_of(usage("evacuate", "1@birch"))["source"] == "birch"
    assert stage.post(1) == 1


def test_letters_of_others_alone_move_nobody_and_are_no_success(stage: Stage, letter: Letters) -> None:
    """A letter under the wrong vendor is not taken for an evacuation that is done; named, it is told that nothing serves there."""
    assert "notice add" in usage("evacuate").next
    adding = ("notice", "add", letter("Go.", "abuse@acorn.test", "1@acorn"), "--deadline", SOON, "--vendor", "acorn")
    assert typed(*adding).exit_code == 0
    told = usage("evacuate")
    assert "birch" in told.what
    assert "1@acorn" in told.why
    assert "--vendor birch" in told.next
    assert answer("evacuate", "1@acorn") == {"site": "birch", "vendor": "birch"}
    assert "notice list" in usage("evacuate", "7@acorn").next
    assert stage.post(1) == 1


def test_what_to_type_can_be_typed(stage: Stage, letter: Letters) -> None:
    """A message's id may hold what a shell reads."""
    adding = ("notice", "add", letter("Go.", "abuse@birch.test", "$x&1@birch"), "--deadline", PAST)
    assert typed(*adding).exit_code == 0
    assert "resilience evacuate '$x&1@birch'" in usage("evacuate").next
    assert stage.post(1) == 1


def test_evidence_is_about_a_letter_that_names_posts(stage: Stage, letter: Letters, tmp_path: Path) -> None:
    """A reminder after it names none; which letter it is about is said."""
    words, to = ("notice", "evidence"), ("--to", str(tmp_path / "evidence"))
    assert "names posts" in usage(*words, *to).what
    page = f"http://{stage.fleet.names.host}/@ann/1"
    first = letter(f"{page} must go.", "abuse@birch.test", "1@birch")
    assert typed("notice", "add", first, "--deadline", LATER).exit_code == 0
    assert typed("notice", "add", letter("Hurry.", "abuse@birch.test", "2@birch"), "--deadline", LATER).exit_code == 0
    said = typed(*words, *to)
    assert "birch's letter 1@birch" in said.output, (said.output, said.exception)
    assert (tmp_path / "evidence").read_text() == page
    assert answer(*words, *to)["reference"] == "1@birch"


def test_evidence_of_a_letter_that_was_only_kept(stage: Stage, letter: Letters, tmp_path: Path) -> None:
    """Offline nothing was put before the moderators, so there is nothing to show."""
    text = letter(f"http://{stage.fleet.names.host}/@ann/1 must go within 30 hours.")
    answer("notice", "add", text, "--offline", "--vendor", "birch")
    said = typed("notice", "evidence", "--to", str(tmp_path / "evidence"))
    assert isinstance(said.exception, ResilienceError)
    assert "knows no notice" in said.exception.what


def test_where_to_go_is_looked_at_first(stage: Stage, letter: Letters) -> None:
    """A name that no site has; and a site of the very vendor that ends the account is no way out."""
    answer("notice", "add", letter("The account ends within 30 hours."))
    assert "No site is called cedr." in usage("evacuate", "--to", "cedr").what
    stage.fleet = replace(stage.fleet, sites=(*stage.fleet.sites, replace(stage.fleet.site("birch"), name="beech")))
    told = usage("evacuate", "--to", "beech")
    assert told.what == "beech is at birch, too."
    assert "--to acorn or --to cedar" in told.next
    assert stage.post(1) == 1


@pytest.mark.parametrize("door", ["plane.cedar.shape", "plane.cedar.restore", "app.cedar.start"])
def test_an_evacuation_that_was_interrupted_goes_on(
    stage: Stage, letter: Letters, door: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Cut off after its seal nobody serves: the same line is not told that all is done."""
    reference = answer("notice", "add", letter("The account ends within 30 hours."))["reference"]
    shown = plan_of(usage("evacuate", "--to", "cedar"))
    approval = ("--digest", usage("evacuate", "--to", "cedar").next.split()[-1])
    accepted = [f"--accept={hazard['name']}" for hazard in shown["hazards"]]
    stage.break_next(door, how="killed", call=2 if door.endswith("shape") else 1)
    assert "killed" in str(attempt(lambda: _raised(typed("evacuate", "--to", "cedar", *approval, *accepted))))
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.site == "cedar", "it was cut off after the seal"
    with monkeypatch.context() as elsewhere:
        typing_at(stage, replace(stage.world, log=SimLog(stage.state)), elsewhere, tmp_path)
        said = typed("evacuate", reference)
        assert isinstance(said.exception, ResilienceError), "another machine knows of no move"
        assert said.exception.what == "cedar may write, and does not serve."
    assert answer("evacuate") == {"site": "cedar", "vendor": "cedar"}
    assert stage.post(1) == 1


def _raised(said: Result) -> None:
    if said.exception is not None:
        raise said.exception
