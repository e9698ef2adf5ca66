"""Epochs that go on from an older one, by the operator's word: what is history then, for who restores and who follows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import BrokenChain, VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout
from resilience.replication import epoch as epochs
from resilience.replication.forward import Forward
from resilience.replication.trace import Leg, astray, child_of, legs
from tests.unit.test_chunk import BY_OPERATOR, CERTIFY, EPOCH, LABELLED, SIGN

BRANCHES = {1: (0, 1, 0), 2: (1, 2, 500), 3: (1, 3, 300), 4: (3, 4, 700), 5: (2, 5, 900)}
"""Epoch: which it goes on from, the timeline that it begins, and where. 3 goes back in 1, and 5 goes back to all of 2."""
STRAIGHT = {1: (0, 1, 0), 2: (1, 2, 500), 3: (2, 3, 900)}
Branches = dict[int, tuple[int, int, int]]


class Mute(MemoryVault):
    """Gives nothing whose name begins so."""

    of: tuple[str, ...] = ()

    def get(self, key: str) -> bytes | None:
        """The object, where it answers."""
        if key.startswith(self.of):
            raise VaultError(f"{self.name} could not get {key}", "503", "Ask it again.")
        return super().get(key)


def vault_with(
    upto: int, branches: Branches = BRANCHES, vault: MemoryVault | None = None
) -> tuple[MemoryVault, dict[int, EpochRecord]]:
    """A vault with the records of epochs up to this one."""
    vault, known = vault or MemoryVault("a"), {}
    for number, (parent, timeline, start) in list(branches.items())[:upto]:
        bare = replace(EPOCH, number=number, parent=number - 1, signature="")
        known[number] = replace(bare, signature=CERTIFY(epochs.payload(bare)))
        vault.put_new(layout.epoch(number), epochs.encode(known[number]))
        begun = chunk.Start(number, "nonce", start, timeline, "42", "", 1.0)
        vault.put_new(layout.first(number), chunk.encode_start(begun, SIGN))
        if parent:
            opening = chunk.Opening(number, "nonce", parent, start, start, branches[parent][1], "42", 1.0)
            vault.put_new(layout.opening(number), chunk.encode_opening(opening, SIGN))
    return vault, known


def followed(known: dict[int, EpochRecord], **vaults: MemoryVault) -> Forward:
    """What a standby knows that began with epoch 1."""
    told: Any = SimpleNamespace(parent_epochs=(), epoch=_Told(known[1]), record=known[1], verify=BY_OPERATOR)
    return Forward(told, vaults)


def goes_on(forward: Forward, leg: Leg) -> tuple[int | None, int | None]:
    """Where a standby is told that this leg ends, and in which epoch it goes on, once it has looked."""
    forward.look()
    cut, following = forward.after(leg)
    return cut, None if following is None else following.record.number


def first_leg(known: dict[int, EpochRecord]) -> Leg:
    """Epoch 1, whole."""
    return Leg(known[1], chunk.Start(1, "nonce", 0, 1, "42", "", 1.0), 0, None, {})


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
    forward = followed(known, a=vault)
    for number in (2, 3):
        for key in (layout.epoch(number), layout.first(number), layout.opening(number)):
            vault.delete(key)
    for number, parent, limit in ((2, 1, end), (3, 2, 300)):
        vault.put_new(layout.epoch(number), epochs.encode(known[number]))
        opening = chunk.Opening(number, "nonce", parent, limit, 100, 1, "42", 1.0)
        vault.put_new(layout.opening(number), chunk.encode_opening(opening, SIGN))
        assert goes_on(forward, first_leg(known)) == (limit, None)
    vault.put_new(layout.first(3), chunk.encode_start(chunk.Start(3, "nonce", 300, 3, "42", "", 1.0), SIGN))
    found = legs(known, child_of(known[3]), {"a": vault}, ("a",), 0, None)
    assert [(leg.record.number, leg.limit) for leg in found] == [(1, 300), (3, None)]
    assert goes_on(forward, first_leg(known)) == (300, 3)


@pytest.mark.parametrize(
    ("unheard", "cut"), [(layout.epoch(2), None), (layout.opening(2), None), (layout.first(2), 500)]
)
def test_a_standby_takes_nothing_unheard_for_absent(unheard: str, cut: int | None) -> None:
    """Of two epochs ahead the farther one says where the nearer ended, never where this one did."""
    vault, known = vault_with(3, STRAIGHT)
    forward = followed(known, a=vault)
    lacked = vault.objects.pop(unheard)
    assert goes_on(forward, first_leg(known)) == (cut, None)
    vault.put_new(unheard, lacked)
    assert goes_on(forward, first_leg(known)) == (500, 2)


@given(st.lists(st.sampled_from(["sealed", "opened", "begun"]), min_size=1, max_size=5), st.data())
def test_a_standby_and_a_restore_go_by_one_history(got_to: list[str], data: st.DataObject) -> None:
    """However far each takeover got; and whatever of it is not heard, a standby is not led past what a restore goes by."""
    vault, known = vault_with(1)
    timeline = 1
    for number, how in enumerate(got_to, start=2):
        bare = replace(EPOCH, number=number, parent=number - 1, signature="")
        known[number] = replace(bare, signature=CERTIFY(epochs.payload(bare)))
        vault.put_new(layout.epoch(number), epochs.encode(known[number]))
        if how != "sealed":
            opening = chunk.Opening(number, "nonce", number - 1, number * 100, 1, timeline, "42", 1.0)
            vault.put_new(layout.opening(number), chunk.encode_opening(opening, SIGN))
        if how == "begun":
            timeline += 1
            begun = chunk.Start(number, "nonce", number * 100, timeline, "42", "", 1.0)
            vault.put_new(layout.first(number), chunk.encode_start(begun, SIGN))
    told = legs(known, child_of(known[max(known)]), {"a": vault}, ("a",), 0, None)
    end, after = told[0].limit, told[1].record.number if told[1:] else None
    assert goes_on(followed(known, a=vault), first_leg(known)) == (end, after)
    for key in data.draw(st.sets(st.sampled_from(sorted(set(vault.objects) - {layout.first(1)})))):
        vault.delete(key)
    cut, following = goes_on(followed(known, a=vault), first_leg(known))
    assert cut is None or (end is not None and cut <= end)
    assert following is None or (cut, following) == (end, after)


def test_what_a_vault_gave_once_is_known() -> None:
    """One that answers every other question is heard all the same."""
    vault = Mute("a")
    _, known = vault_with(2, vault=vault)
    forward = followed(known, a=vault)
    vault.of = (layout.first(2),)
    assert goes_on(forward, first_leg(known)) == (500, None)
    vault.of = (layout.epoch(2), layout.opening(2))
    assert goes_on(forward, first_leg(known)) == (500, 2)


def test_who_was_promoted_may_be_heard_after_who_was_not() -> None:
    """Two promotions at once: the vault that the loser got is the first to answer, and the others were not heard at that moment."""
    won = Mute("b")
    _, known = vault_with(2, vault=won)
    lost = MemoryVault("a")
    bare = replace(known[2], site="elm", nonce="another", signature="")
    lost.put_new(layout.epoch(2), epochs.encode(replace(bare, signature=CERTIFY(epochs.payload(bare)))))
    forward = followed(known, a=lost, b=won)
    won.of = ("",)
    assert goes_on(forward, first_leg(known)) == (None, None)
    assert forward.newest.site == "elm"
    won.of = ()
    assert goes_on(forward, first_leg(known)) == (500, 2)
    assert forward.newest == known[2]


def test_of_two_openings_the_one_that_counts_is_believed() -> None:
    """As in a restore: a thief's is none that k vaults hold; where that is not told yet nothing is said, also not by what was removed since."""
    known = vault_with(2)[1]
    vaults = {name: Mute(name) for name in "abc"}
    for vault in vaults.values():
        vault_with(2, vault=vault)
    thief = chunk.encode_opening(chunk.Opening(2, "nonce", 1, 700, 700, 1, "42", 1.0), SIGN)
    true, vaults["a"].objects[layout.opening(2)] = vaults["a"].objects[layout.opening(2)], thief
    forward = followed(known, **vaults)
    assert goes_on(forward, first_leg(known)) == (500, 2)
    forward = followed(known, **vaults)
    vaults["c"].of = ("",)
    with pytest.raises(BrokenChain):
        goes_on(forward, first_leg(known))
    four = {name: MemoryVault(name) for name in "abcd"}
    for one in four.values():
        vault_with(2, vault=one)
    known[2] = replace(known[2], vaults=tuple("abcd"), signature="")
    known[2] = replace(known[2], signature=CERTIFY(epochs.payload(known[2])))
    for name, data in zip("cd", (thief, bytes(layout.RECORD + 1)), strict=True):
        four[name].objects[layout.opening(2)] = data
    for one in four.values():
        one.objects[layout.epoch(2)] = epochs.encode(known[2])
    assert goes_on(followed(known, **four), first_leg(known)) == (500, 2), "what is too large was heard, and is none"
    vaults["a"].objects[layout.opening(2)] = true
    assert goes_on(forward, first_leg(known)) == (500, 2)


@pytest.mark.parametrize(
    ("upto", "follows", "cut", "follows_on"),
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
def test_where_a_standby_goes_on(upto: int, follows: int, cut: int | None, follows_on: int | None) -> None:
    """With the epoch that really comes next; where its own was cut off whole it is told that nothing of it counts."""
    vault, known = vault_with(upto)
    begun = chunk.Start(follows, "nonce", BRANCHES[follows][2], BRANCHES[follows][1], "42", "", 1.0)
    assert goes_on(followed(known, a=vault), Leg(known[follows], begun, begun.start, None, {})) == (cut, follows_on)


class _Told:
    """An epoch as a configuration has it."""

    def __init__(self, record: EpochRecord) -> None:
        self.number, self._record = record.number, record

    def record(self) -> EpochRecord:
        """The record itself."""
        return self._record
