"""Plain words: the sentences people read first."""

from __future__ import annotations

import math

import pytest

from resilience.judge import judge
from resilience.model import Rpo, Rto, Verdict
from resilience.render import words
from tests.journals import healthy, journal, missed, simulated, unknown, without


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "not known"),
        (math.inf, "not known"),
        (0.42, "0.4 s"),
        (90.0, "90 s"),
        (71.06, "71.1 s"),
        (725.2, "12 min 5 s"),
    ],
)
def test_seconds(value: float | None, said: str) -> None:
    """Seconds are said to the tenth, whole ones without it, long ones in minutes."""
    assert words.seconds(value) == said
    assert not math.isinf(value or 0) or words.measured(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "not known"), (0, "0 bytes"), (999, "999 bytes"), (48_300_032, "48.3 MB"), (10**12, "1.0 TB")],
)
def test_sizes(value: int | None, said: str) -> None:
    """Bytes are said in the unit that fits."""
    assert words.size(value) == said


def test_moments_out_of_the_calendar_are_not_known() -> None:
    """A clock far off is said to be unknown and breaks nothing."""
    assert words.moment(1e30) == words.clock(1e30) == "not known"


def test_headline_when_met() -> None:
    """Back when, promised what, lost how much."""
    said = "Back in 71.1 s, promised 90 s. 8 writes of 800 acknowledged were lost, the oldest 0.4 s before the fault."
    assert words.headline(judge(healthy())) == said


def test_headline_when_missed() -> None:
    """A miss is said in the same words."""
    assert words.headline(judge(missed())).startswith("Back in 135.1 s, promised 90 s. 74 writes of 800")


def test_headline_when_unknown() -> None:
    """What is not known is said to be so, and no number is made up for it."""
    assert words.headline(judge([])) == "When users were back is not known. How many writes were lost is not known."
    assert "oldest" not in words.headline(judge(unknown()))


def test_no_loss_is_only_said_when_it_is_proven() -> None:
    """Nothing lost, and nothing found missing, are two things."""
    assert "No acknowledged write was lost (800 were)." in words.headline(judge(journal(lost_s=0)))
    assert "No lost write was found." in words.headline(judge(journal(lost_s=0, rate=2)))


def test_a_simulation_never_sounds_measured() -> None:
    """The first word of a simulated headline says that it was one."""
    assert words.headline(judge(simulated())).startswith("Simulated, not measured: back in")


def test_with_a_person_deciding() -> None:
    """The declared time comes on top of both sides; without one there is nothing to say."""
    assert words.with_person(judge(healthy())).endswith("371.1 s of 390 s.")
    assert words.with_person(Verdict("unknown", rto=Rto(90, 0, 30, 70))) == ""
    assert words.with_person(judge(without(healthy(), "drill-started"))) == ""


def test_one_write_is_singular() -> None:
    """One write was lost."""
    assert "1 write of 500 acknowledged was lost" in words.headline(Verdict("met", rpo=Rpo(2, 0.3, 500, 1)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["acorn"], "acorn"),
        (["acorn", "elm"], "acorn and elm"),
        (["a", "b", "c"], "a, b and c"),
        ([None, 2], "None and 2"),
        (7, "7"),
    ],
)
def test_lists_of_names(names: object, said: str) -> None:
    """Names are joined as people do; a strange value breaks no page."""
    assert words.joined(names) == said
