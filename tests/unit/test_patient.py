"""A vault whose reads keep failing is left; one that gives something now and then is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError, VaultSilent
from resilience.ports import Vault
from resilience.replication import patient
from resilience.replication.patient import Patient
from resilience.replication.reput import put_into


class Faltering(MemoryVault):
    """A vault that takes its time, and then may say that it has trouble."""

    def __init__(self, takes: Callable[[float], None]) -> None:
        super().__init__("elm")
        self.questions = 0
        self.trouble: VaultError | None = VaultSilent("elm could not get", "it fails", "look")
        self._takes = takes

    def get(self, key: str) -> bytes | None:
        """The object, or the trouble, after 6 s."""
        self.questions += 1
        self._takes(6.0)
        if self.trouble is not None:
            raise self.trouble
        return super().get(key)


class Clock:
    """The time that the patience goes by."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        """What time it is."""
        return self.at

    def passes(self, seconds: float) -> None:
        """So much later."""
        self.at += seconds


def asked(vault: Patient, key: str = "wal/1") -> str:
    """What comes of a question."""
    try:
        vault.get(key)
    except VaultError as error:
        return error.what
    return "answered"


def test_left_after_a_while_and_tried_again() -> None:
    """Two questions take 12 s; then none is asked for half a minute, and one that is answered mends all."""
    clock = Clock()
    elm = Faltering(clock.passes)
    vault = Patient(elm, clock.now)
    elm.put_new("wal/1", b"x")
    assert [asked(vault) for _ in range(4)] == ["elm could not get"] * 2 + [
        "elm gives nothing and is not asked now."
    ] * 2
    assert elm.questions == 2
    clock.passes(31)
    assert [asked(vault), asked(vault)] == ["elm could not get", "elm gives nothing and is not asked now."]
    clock.passes(31)
    elm.trouble = None
    assert [asked(vault), asked(vault)] == ["answered", "answered"]


def test_only_what_came_whole_counts() -> None:
    """That something is absent says nothing of whether bodies come; a refusal is an answer, and nobody waits for it."""
    clock = Clock()
    elm = Faltering(clock.passes)
    vault = Patient(elm, clock.now)
    for trouble in (elm.trouble, None, elm.trouble):
        elm.trouble = trouble
        asked(vault, "absent")
    assert asked(vault) == "elm gives nothing and is not asked now."
    clock.passes(31)
    elm.put_new("wal/1", b"x")
    elm.trouble = None
    assert asked(vault) == "answered"
    elm.trouble = VaultError("elm refuses", "403", "look")
    assert [asked(vault) for _ in range(3)] == ["elm refuses"] * 3


def test_one_stalled_read_is_no_silence_where_others_were_given_meanwhile() -> None:
    """It hangs for a minute beside a read that was answered: nobody else waits; with nothing given meanwhile it is left."""
    clock = Clock()
    meanwhile: list[str] = []

    def stalls(_: float) -> None:
        """The first read hangs; the second comes and goes while it does."""
        clock.passes(20)
        if not meanwhile:
            meanwhile.append("asked")
            elm.trouble = None
            meanwhile.append(asked(vault))
            elm.trouble = VaultSilent("elm could not get", "it fails", "look")
        clock.passes(20)

    elm = Faltering(stalls)
    vault = Patient(elm, clock.now)
    elm.put_new("wal/1", b"x")
    assert asked(vault) == "elm could not get"
    assert meanwhile == ["asked", "answered"]
    clock.passes(15)
    assert [asked(vault), asked(vault)] == ["elm could not get", "elm gives nothing and is not asked now."]
    assert elm.questions == 3


class Silent(MemoryVault):
    """A vault that answers nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__("elm")
        self.goes = threading.Event()

    def get(self, key: str) -> bytes | None:
        """What is asked hangs."""
        self.goes.wait()
        return super().get(key)

    def put_new(self, key: str, data: bytes) -> bool:
        """So does what is put."""
        self.goes.wait()
        return super().put_new(key, data)


@pytest.fixture
def silent() -> Iterator[Silent]:
    """It, and an end of it."""
    made = Silent()
    yield made
    made.goes.set()


def test_a_first_question_has_no_longer_than_the_patience(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may ask again as often as it likes: nothing given so far, it counts as silent. Later ones are waited for."""
    monkeypatch.setattr(patient, "PATIENCE", 0.05)
    vault = Patient(silent)
    assert asked(vault) == "elm did not answer."
    assert vault.patience == 0
    silent.goes.set()
    silent.put_new("wal/1", b"x")
    monkeypatch.setattr(patient, "AGAIN", 0.0)
    monkeypatch.setattr(patient, "PATIENCE", 120.0)
    assert asked(vault) == "answered"
    monkeypatch.setattr(patient, "PATIENCE", 0.05)
    assert vault.patience > 0
    silent.goes.clear()
    threading.Timer(0.5, silent.goes.set).start()
    assert asked(vault) == "answered", "ten times the patience"


def test_a_put_is_given_up_where_enough_others_took_it(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three hold it: nobody waits for the third, which gives its readers nothing; were it needed, it would be."""
    monkeypatch.setattr(patient, "PATIENCE", 0.05)
    vaults = {"birch": MemoryVault("birch"), "cedar": MemoryVault("cedar"), "elm": silent}
    readers = patient.patiently(vaults)
    asked(cast("Patient", readers["elm"]))

    def put(vault: Vault) -> bool:
        return vault.put_new("wal/1", b"x")

    def taken(told: Mapping[str, object]) -> int:
        return sum(answer is True for answer in told.values())

    told = put_into(vaults, readers, put, lambda answers: taken(answers) >= 2)
    assert taken(told) == 2
    assert isinstance(told["elm"], VaultSilent)
    threading.Timer(0.2, silent.goes.set).start()
    assert taken(put_into(vaults, readers, lambda vault: vault.put_new("wal/2", b"x"), lambda a: taken(a) >= 3)) == 3


def test_a_vault_that_begins_to_hang_at_a_put_has_no_longer_than_the_patience(silent: Silent) -> None:
    """It gave its readers all they asked. Two of three took the put: 10 s after it began the third is done without, and at the next at once."""
    clock, ends = Clock(), threading.Timer(120, silent.goes.set)
    vaults: dict[str, Vault] = {"birch": MemoryVault("birch"), "cedar": MemoryVault("cedar"), "elm": silent}
    writers, readers = ({name: Patient(vault, clock.now) for name, vault in vaults.items()} for _ in range(2))
    silent.goes.set()
    assert asked(readers["elm"]) == "answered"
    silent.goes.clear()
    ends.start()

    def two(told: Mapping[str, object]) -> bool:
        return {"birch", "cedar"} <= told.keys()

    def two_after_the_patience(told: Mapping[str, object]) -> bool:
        clock.passes(patient.PATIENCE if two(told) else 0.0)
        return two(told)

    for key, suffices in (("wal/1", two_after_the_patience), ("wal/2", two)):
        told = put_into(writers, readers, lambda vault, key=key: vault.put_new(key, b"x"), suffices)  # type: ignore[misc]
        assert isinstance(told.pop("elm"), VaultSilent), "it was waited for until it answered"
        assert told == {"birch": True, "cedar": True}
    ends.cancel()
    silent.goes.set()
    told = put_into(writers, readers, lambda vault: vault.put_new("wal/3", b"x"), lambda told: len(told) == 3)
    assert told["elm"] is True, "where it is needed it is waited for, and given all"
    assert writers["elm"].patience > 0


def test_a_vault_that_takes_one_after_another_is_waited_for() -> None:
    """Five chunks of 6 s each, long after the others took all: none took longer than the patience."""
    clock, told_of_birch, others = Clock(), threading.Event(), threading.Event()

    class Slow(MemoryVault):
        def put_new(self, key: str, data: bytes) -> bool:
            clock.passes(6.0)
            if key == "wal/4":
                others.set()
                assert told_of_birch.wait(120)
            return super().put_new(key, data)

    class Late(MemoryVault):
        def put_new(self, key: str, data: bytes) -> bool:
            assert others.wait(120)
            return super().put_new(key, data)

    def suffices(told: Mapping[str, object]) -> bool:
        if "birch" in told:
            told_of_birch.set()
        return True

    vaults = {"birch": Late("birch"), "elm": Slow("elm")}
    writers = {name: Patient(vault, clock.now) for name, vault in vaults.items()}
    told = put_into(
        writers, patient.patiently(vaults), lambda v: [v.put_new(f"wal/{n}", b"x") for n in range(5)], suffices
    )
    assert told["elm"] == [True] * 5
