"""Who stands by waits for no vault that hangs, and asks it nothing more until it has answered."""

from __future__ import annotations

import time
from threading import Event

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.replication.prompt import Prompt


class Hangs(MemoryVault):
    """Answers nothing until it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.go = Event()
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        """In its own time."""
        self.asked += 1
        assert self.go.wait(20)
        return super().get(key)


class Refuses(MemoryVault):
    """Answers with an error."""

    def get(self, key: str) -> bytes | None:
        """No."""
        raise VaultError(f"{self.name} could not get {key}", "403", "Bring it back.")


def test_a_vault_that_hangs_keeps_nobody_waiting() -> None:
    """It is asked once; the others each time. Once it has answered, it is asked again."""
    birch, cedar, elm = MemoryVault("birch"), Refuses("cedar"), Hangs("elm")
    birch.put_new("a", b"there")
    prompt = Prompt({vault.name: vault for vault in (birch, cedar, elm)})
    for _ in range(3):
        found = prompt.each("a", lambda vault: vault.get("a"))
        assert set(found) == {"birch", "cedar"}
        assert found["birch"] == b"there"
        assert isinstance(found["cedar"], VaultError)
    assert elm.asked == 1
    elm.put_new("a", b"late")
    elm.go.set()
    until = time.monotonic() + 20
    while prompt.each("a", lambda vault: vault.get("a")).get("elm") != b"late":
        assert time.monotonic() < until


def test_a_vault_that_is_always_slower_is_heard() -> None:
    """Beside one that refuses at once, and for the question that it was asked: what it says late is no answer to another."""
    cedar, elm = Refuses("cedar"), Hangs("elm")
    elm.put_new("a", b"there")
    prompt = Prompt({"cedar": cedar, "elm": elm})
    assert set(prompt.each("a", lambda vault: vault.get("a"))) == {"cedar"}
    elm.go.set()
    until = time.monotonic() + 20
    while "elm" in prompt._owing:
        assert time.monotonic() < until
        time.sleep(0.01)
    elm.go.clear()
    assert prompt.each("a", lambda vault: vault.get("a"))["elm"] == b"there"
    elm.go.set()
    assert prompt.each("b", lambda vault: vault.get("b")).get("elm") is None


def test_a_fault_in_the_program_is_no_vault_s_answer() -> None:
    """It is raised where it was asked for."""

    def ask(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Prompt({"birch": MemoryVault("birch")}).each("a", ask)
