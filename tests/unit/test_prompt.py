"""Who stands by waits for no vault that hangs, and asks it nothing twice until it has answered."""

from __future__ import annotations

import time
from threading import Event

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.replication.prompt import Prompt
from tests.replication.harness import wait_until
from tests.unit.test_gone_back import first_leg, followed, goes_on, vault_with


class Hangs(MemoryVault):
    """Answers nothing until it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.go = Event()
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        """In its own time."""
        self.asked += 1
        assert self.go.wait(120)
        return super().get(key)


class Refuses(MemoryVault):
    """Answers with an error."""

    def get(self, key: str) -> bytes | None:
        """No."""
        raise VaultError(f"{self.name} could not get {key}", "403", "Bring it back.")


def let_answer(prompt: Prompt, *vaults: Hangs) -> None:
    """What they were asked by now, and nothing later."""
    for vault in vaults:
        vault.go.set()
    until = time.monotonic() + 120
    while prompt._owing:
        assert time.monotonic() < until
        time.sleep(0.01)
    for vault in vaults:
        vault.go.clear()


def test_a_vault_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once; the others each time. Once it has answered, it is asked again."""
    birch, cedar, elm = MemoryVault("birch"), Refuses("cedar"), Hangs("elm")
    birch.put_new("a", b"there")
    prompt = Prompt({vault.name: vault for vault in (birch, cedar, elm)})
    assert "elm" not in prompt.get("a")
    wait_until(lambda: prompt._owing == {("a", "elm")}, "the others' answers")
    monkeypatch.setattr("resilience.replication.prompt.GRACE", 600.0)
    for _ in range(2):
        found = prompt.get("a")
        assert set(found) == {"birch", "cedar"}
        assert found["birch"] == b"there"
        assert isinstance(found["cedar"], VaultError)
    wait_until(lambda: elm.asked, "the question")
    assert elm.asked == 1
    elm.put_new("a", b"late")
    elm.go.set()
    until = time.monotonic() + 120
    while prompt.get("a").get("elm") != b"late":
        assert time.monotonic() < until


def test_a_vault_that_is_always_slower_is_heard() -> None:
    """Beside one that refuses at once, and for the question that it was asked: what it says late is no answer to another."""
    cedar, elm = Refuses("cedar"), Hangs("elm")
    elm.put_new("a", b"there")
    prompt = Prompt({"cedar": cedar, "elm": elm})
    assert set(prompt.get("a")) == {"cedar"}
    let_answer(prompt, elm)
    assert prompt.get("a")["elm"] == b"there"
    elm.go.set()
    assert prompt.get("b").get("elm") is None


def test_a_standby_goes_on_that_hears_all_its_vaults_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside one that refuses at once; what each says late is kept, whatever else it was asked meanwhile."""
    monkeypatch.setattr("resilience.replication.prompt.GRACE", 0.05)
    late = [Hangs("a"), Hangs("b")]
    known = vault_with(2, vault=late[0])[1]
    vault_with(2, vault=late[1])
    vaults = {vault.name: vault for vault in (*late, Refuses("c"))}
    forward, prompt = followed(known, **vaults), Prompt(vaults)
    forward.get = prompt.get
    for _ in range(5):
        found = goes_on(forward, first_leg(known))
        let_answer(prompt, *late)
    assert found == (500, 2)


def test_a_vault_that_owes_an_answer_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for other keys, and nobody waits for those."""
    cedar, elm = MemoryVault("cedar"), Hangs("elm")
    prompt = Prompt({"cedar": cedar, "elm": elm})
    assert set(prompt.get("a")) == {"cedar"}
    monkeypatch.setattr("resilience.replication.prompt.GRACE", 600.0)  # whoever waits meets what elm raises in the end
    for key in "bcd":
        assert set(prompt.get(key)) == {"cedar"}
    wait_until(lambda: elm.asked == 4, "the questions")
    let_answer(prompt, elm)


def test_a_fault_in_the_program_is_no_vault_s_answer() -> None:
    """It is raised where it was asked for."""

    class Faulty(MemoryVault):
        def get(self, key: str) -> bytes | None:
            raise ZeroDivisionError(key)

    with pytest.raises(ZeroDivisionError):
        Prompt({"birch": Faulty("birch")}).get("a")
