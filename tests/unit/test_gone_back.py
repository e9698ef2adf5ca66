"""Epochs that go on from an older one, by the operator's word: what is history then, for who restores and who follows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.model import EpochRecord
from resilience.replication import chunk, layout
from resilience.replication import epoch as epochs
from resilience.replication.forward import Forward
from resilience.replication.trace import Leg, astray, child_of, legs
from tests.unit.test_chunk import BY_OPERATOR, CERTIFY, EPOCH, LABELLED, SIGN

BRANCHES = {1: (0, 1, 0), 2: (1, 2, 500), 3: (1, 3, 300), 4: (3, 4, 700), 5: (2, 5, 900)}
"""Epoch: which it goes on from, the timeline that it begins, and where. 3 goes back in 1, and 5 goes back to all of 2."""


def vault_with(upto: int) -> tuple[MemoryVault, dict[int, EpochRecord]]:
    """A vault with the records of epochs up to this one."""
    vault, known = MemoryVault("a"), {}
    for number, (parent, timeline, start) in list(BRANCHES.items())[:upto]:
        bare = replace(EPOCH, number=number, parent=number - 1, signature="")
        known[number] = replace(bare, signature=CERTIFY(epochs.payload(bare)))
        vault.put_new(layout.epoch(number), epochs.encode(known[number]))
        begun = chunk.Start(number, "nonce", start, timeline, "42", "", 1.0)
        vault.put_new(layout.first(number), chunk.encode_start(begun, SIGN))
        if parent:
            opening = chunk.Opening(number, "nonce", parent, start, start, 1, "42", 1.0)
            vault.put_new(layout.opening(number), chunk.encode_opening(opening, SIGN))
    return vault, known


def history(upto: int, position: int = 0) -> list[Leg]:
    """The legs of the newest history, oldest first."""
    vault, known = vault_with(upto)
    return legs(known, child_of(known[upto]), {"a": vault}, ("a",), position, None)


@pytest.mark.parametrize(
    ("upto", "expected"),
    [(2, [(1, 500), (2, None)]), (4, [(1, 300), (3, 700), (4, None)]), (5, [(1, 500), (2, 900), (5, None)])],
)
def test_which_epochs_are_history(upto: int, expected: list[tuple[int, int | None]]) -> None:
    """What an opening record names, not whose number is one less."""
    assert [(leg.record.number, leg.limit) for leg in history(upto)] == expected


def test_an_opening_leads_back_and_never_ahead() -> None:
    """One that names its own epoch or a later one is altered: nobody is led in a circle."""
    for parent in (0, 3, 4):
        opening = chunk.Opening(3, "nonce", parent, 400, 300, 1, "42", 1.5)
        assert chunk.decode_opening(chunk.encode_opening(opening, SIGN), EPOCH) is None


@pytest.mark.parametrize(
    ("upto", "timeline", "stop", "none_of_it"),
    [
        (2, 1, 0x1F4, False),
        (4, 1, 0x12C, False),
        (4, 1, 0x12D, True),
        (4, 2, 0x258, True),
        (5, 2, 0x258, False),
        (5, 3, 0x320, True),
    ],
)
def test_a_snapshot_of_what_was_cut_off(upto: int, timeline: int, stop: int, none_of_it: bool) -> None:  # noqa: FBT001
    """Its timeline was left before it was complete, or is none of this history; by Postgres' own word, not by the label's."""
    text = f"START WAL LOCATION: 0/64\nSTART TIMELINE: {timeline}\n"
    label = replace(LABELLED, start_lsn="0/64", stop_lsn=f"0/{stop:X}", timeline=9, backup_label=text)
    assert astray(history(upto, label.start), label) is none_of_it


@pytest.mark.parametrize(("stop", "none_of_it"), [(500, False), (501, True)])
def test_a_cut_counts_before_anybody_ships(stop: int, none_of_it: bool) -> None:  # noqa: FBT001
    """The opening record says where the parent's history ends, also while the epoch has begun no WAL of its own."""
    vault, known = vault_with(2)
    vault.delete(layout.first(2))
    text = "START WAL LOCATION: 0/64\nSTART TIMELINE: 1\n"
    label = replace(LABELLED, start_lsn="0/64", stop_lsn=f"0/{stop:X}", backup_label=text)
    assert astray(legs(known, child_of(known[2]), {"a": vault}, ("a",), label.start, None), label) is none_of_it


@pytest.mark.parametrize("end", [200, 900])
def test_an_epoch_that_never_began_cuts_nothing_that_went_on(end: int) -> None:
    """Whoever went on says where it did; the one between may have been opened late, or by a thief, and wrote nothing."""
    vault, known = vault_with(3)
    vault.delete(layout.first(2))
    for number, parent, limit in ((2, 1, end), (3, 2, 300)):
        vault.delete(layout.opening(number))
        opening = chunk.Opening(number, "nonce", parent, limit, 100, 1, "42", 1.0)
        vault.put_new(layout.opening(number), chunk.encode_opening(opening, SIGN))
    found = legs(known, child_of(known[3]), {"a": vault}, ("a",), 0, None)
    assert [(leg.record.number, leg.limit) for leg in found] == [(1, 300), (3, None)]


@pytest.mark.parametrize(
    ("upto", "follows", "cut", "goes_on"),
    [
        (2, 1, 500, 2),
        (4, 1, 300, 3),
        (4, 2, 0, None),
        (5, 1, 500, 2),
        (5, 2, 900, 5),
        (5, 4, 0, None),
        (5, 5, None, None),
    ],
)
def test_where_a_standby_goes_on(upto: int, follows: int, cut: int | None, goes_on: int | None) -> None:
    """With the epoch that really comes next; where its own was cut off whole it is told that nothing of it counts."""
    vault, known = vault_with(upto)
    told: Any = SimpleNamespace(parent_epochs=(), epoch=_Told(known[1]), record=known[1], verify=BY_OPERATOR)
    forward = Forward(told, {"a": vault})
    forward.look()
    begun = chunk.Start(follows, "nonce", BRANCHES[follows][2], BRANCHES[follows][1], "42", "", 1.0)
    found, leg = forward.after(Leg(known[follows], begun, begun.start, None, {}))
    assert (found, leg and leg.record.number) == (cut, goes_on)


class _Told:
    """An epoch as a configuration has it."""

    def __init__(self, record: EpochRecord) -> None:
        self.number, self._record = record.number, record

    def record(self) -> EpochRecord:
        """The record itself."""
        return self._record
