"""What waits on the host for vaults: in which order it goes, and when the app is told that something is held."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.replication import layout
from resilience.replication.outbox import Outbox
from tests.replication.harness import wait_until

KEY = "ab" * 32
RECIPIENTS = [str(pyrage.x25519.Identity.generate().to_public())]


class Door(MemoryVault):
    """A vault that takes nothing before it is opened."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.open = threading.Event()
        self.put: list[str] = []

    def put_new(self, key: str, data: bytes) -> bool:
        """Create, once it is open."""
        if not self.open.is_set():
            raise VaultError(f"{self.name} takes nothing", "It is shut.", "Open it.")
        self.put.append(key)
        return super().put_new(key, data)


class Host:
    """A host's folders, and the vaults that it may have in its set; two of them are enough."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vaults = {name: Door(name) for name in ("birch", "cedar", "elm", "oak")}
        self.boxes: list[Outbox] = []
        self.lease: Any = SimpleNamespace(look=self._look, following=None, superseded=None)

    def _look(self, _: object) -> bool:
        return self.lease.following is None and self.lease.superseded is None

    def ship(self, *names: str, apart: str = "") -> Outbox:
        """An outbox under a set of vaults, at work."""
        paths = SimpleNamespace(**{name: self.folder / name for name in ("outbox", "held", "spool")})
        apart_names = frozenset(filter(None, [apart]))
        record = SimpleNamespace(k=2)
        config: Any = SimpleNamespace(paths=paths, record=record, root=1, recipients=RECIPIENTS, apart=apart_names)
        self.boxes.append(Outbox(config, {name: self.vaults[name] for name in names}, self.lease))
        self.boxes[-1].start()
        return self.boxes[-1]

    def hand_over(self, kind: str, name: str) -> None:
        """As the app does."""
        (self.folder / "outbox" / kind).mkdir(parents=True, exist_ok=True)
        (self.folder / "outbox" / kind / name).write_bytes(b"what is handed over")

    def open(self, outbox: Outbox, *names: str) -> None:
        """These vaults take what waits for them from now on."""
        for name in names:
            self.vaults[name].open.set()
        wait_until(lambda: not any(outbox.backlog(name)[0] for name in names), "the queues")

    @property
    def told(self) -> list[str]:
        """What the app was told is held."""
        return sorted(str(path.relative_to(self.folder / "held")) for path in self.folder.glob("held/*/*"))


@pytest.fixture
def host(tmp_path: Path) -> Any:
    """A host whose vaults are all shut."""
    made = Host(tmp_path)
    yield made
    for outbox in made.boxes:
        outbox.stop()


def waits(outbox: Outbox, count: int, *names: str) -> None:
    """Wait until so many objects are queued for each of these vaults."""
    wait_until(lambda: all(outbox.backlog(name)[0] == count for name in names), "the outbox")


def test_what_somebody_waits_for_goes_first(host: Host) -> None:
    """Ledger, keys, headers, pictures, however they came; entries and keys are told as held, and again when asked again."""
    outbox = host.ship("birch", "cedar", "elm")
    (outbox.queue("birch").folder / f"header/post.{KEY}").write_bytes(b"header")
    for kind, name in (("media", "post"), ("key", KEY), ("ledger", "00000001.json")):
        host.hand_over(kind, name)
    waits(outbox, 3, "birch", "cedar", "elm")
    queue, failed = outbox.queue("birch"), outbox.queue("birch").failures
    wait_until(lambda: queue.failures > failed + 1, "a try that sees all of them")
    host.open(outbox, "birch")
    assert host.vaults["birch"].put == [
        layout.ledger(1, 1),
        layout.media(KEY),
        layout.header("post", KEY),
        layout.media("post"),
    ]
    assert host.told == []
    host.open(outbox, "elm")
    assert host.told == [f"key/{KEY}", "ledger/00000001"]
    (host.folder / "held/key" / KEY).unlink()  # as a power cut may
    host.hand_over("key", KEY)
    wait_until(lambda: f"key/{KEY}" in host.told, "the same answer")


def test_a_payload_is_no_copy_of_a_key(host: Host) -> None:
    """A vault that keeps payloads alone does not count for keys; for the ledger, which it keeps whole, it does."""
    outbox = host.ship("birch", "cedar", "elm", apart="elm")
    host.hand_over("key", KEY)
    host.hand_over("ledger", "00000001.json")
    waits(outbox, 2, "birch", "cedar", "elm")
    host.open(outbox, "birch", "elm")
    assert host.vaults["elm"].list(layout.payload(KEY, "")[: len(layout.media(KEY))])
    assert host.told == ["ledger/00000001"]
    host.open(outbox, "cedar")
    assert host.told == [f"key/{KEY}", "ledger/00000001"]


@pytest.mark.parametrize(("kind", "name"), [("key", KEY), ("ledger", "00000001.json")])
def test_another_set_holds_what_it_was_given(host: Host, kind: str, name: str) -> None:
    """One vault took it before the set changed: the new one is given it too, and what it lacks is not counted."""
    before = host.ship("birch", "cedar", "elm")
    host.hand_over(kind, name)
    waits(before, 1, "birch", "cedar", "elm")
    host.open(before, "birch")
    before.stop()
    after = host.ship("birch", "elm", "oak")
    waits(after, 1, "elm", "oak")
    host.open(after, "birch")
    assert host.told == []
    host.open(after, "oak")
    assert len(host.vaults["oak"].objects) == 1
    assert len(host.told) == 1


def test_what_the_app_was_told_goes_to_those_who_stay(host: Host) -> None:
    """One of those who took it leaves: another one is given it before the set changes, also behind an entry that only the next set can hold."""
    outbox = host.ship("birch", "cedar", "elm")
    host.hand_over("key", KEY)
    host.hand_over("ledger", "00000001.json")
    waits(outbox, 2, "birch", "cedar", "elm")
    host.open(outbox, "birch", "cedar")
    assert host.told == [f"key/{KEY}", "ledger/00000001"]
    assert outbox.owed(["cedar", "elm"], 2) == ["ledger/00000001", f"key/{KEY}"]
    assert outbox.owed(["birch", "cedar", "elm"], 2) == []
    host.lease.following = SimpleNamespace(vaults=("cedar", "elm", "oak"), k=2)
    host.hand_over("ledger", "00000000.json")
    waits(outbox, 3, "elm")
    host.vaults["elm"].open.set()
    wait_until(lambda: not outbox.owed(["cedar", "elm"], 2), "what the app was told")
    assert sorted(host.vaults["elm"].objects) == [layout.ledger(1, 1), layout.media(KEY)]
    outbox.stop()
    assert "ledger/00000000" not in host.told
    host.lease.following = None
    host.open(host.ship("cedar", "elm", "oak"), "cedar", "elm")
    assert "ledger/00000000" in host.told


def test_while_a_set_changes_those_who_leave_count_no_more(host: Host) -> None:
    """A key is told as held by k of those who stay: nobody asks any more for what one that leaves took."""
    outbox = host.ship("birch", "cedar", "elm")
    host.hand_over("key", KEY)
    waits(outbox, 1, "birch", "cedar", "elm")
    host.open(outbox, "birch")
    host.lease.following = SimpleNamespace(vaults=("cedar", "elm", "oak"), k=2)
    host.open(outbox, "cedar")
    assert host.told == []
    host.open(outbox, "elm")
    assert host.told == [f"key/{KEY}"]


def test_what_rows_show_is_handed_over_to_who_came_after(host: Host) -> None:
    """No entry counts any more, but for one that the app was told of; keys and pictures of rows that were written do, whatever waits before them."""
    outbox = host.ship("birch", "cedar", "elm")
    host.hand_over("ledger", "00000001.json")
    waits(outbox, 1, "birch", "cedar", "elm")
    host.open(outbox, "birch", "cedar")
    assert host.told == ["ledger/00000001"]
    host.lease.superseded = "an epoch of another site"
    for kind, name in (("ledger", "00000002.json"), ("key", KEY), ("media", "post")):
        host.hand_over(kind, name)
    host.vaults["elm"].open.set()
    held = [layout.media(KEY), layout.media("post")]
    wait_until(lambda: all(host.vaults[name].put[-2:] == held for name in ("birch", "cedar", "elm")), "the others")
    waits(outbox, 1, "birch", "cedar", "elm")
    assert host.vaults["elm"].put == [layout.ledger(1, 1), layout.media(KEY), layout.media("post")]
    assert outbox.queue("elm").waiting("ledger") == ["00000002.json"]
    assert host.told == [f"key/{KEY}", "ledger/00000001"]


def test_a_locked_vault_that_stays_does_not_hold_up_a_change(host: Host) -> None:
    """Where one vault alone stays that keeps keys whole, it is enough that this one has them: the locked ones are given them afterwards."""
    outbox = host.ship("birch", "cedar", "elm", apart="elm")
    host.hand_over("key", KEY)
    waits(outbox, 1, "birch", "cedar", "elm")
    host.open(outbox, "birch", "cedar")
    assert outbox.owed(["cedar", "elm"], 2) == []


def test_what_a_vault_left_behind_lacks_is_not_held_there(host: Host) -> None:
    """Its keys are kept for it no more, as its pictures are not, and count nowhere before another vault has them."""
    outbox = host.ship("birch", "cedar", "elm")
    host.hand_over("key", KEY)
    host.hand_over("ledger", "00000001.json")
    waits(outbox, 2, "birch", "cedar", "elm")
    outbox.leave("elm")
    waits(outbox, 1, "elm")
    host.open(outbox, "birch")
    assert host.told == []
    host.open(outbox, "cedar")
    assert host.told == [f"key/{KEY}", "ledger/00000001"]


def test_what_a_vault_takes_at_once_waits_no_more(host: Host) -> None:
    """A header that a busy queue puts in the very moment it is linked there is never counted as waiting for ever."""
    outbox = host.ship("birch", "cedar", "elm", apart="elm")
    host.vaults["birch"].open.set()
    host.vaults["cedar"].open.set()
    queue = outbox.queue("elm")
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(400):
            (queue.headers / f"{number}.{KEY}").write_bytes(b"header")
            outbox.keep_headers(queue)
    finally:
        sys.setswitchinterval(usual)
    wait_until(lambda: all(len(host.vaults[name].put) == 400 for name in ("birch", "cedar")), "the headers")
    wait_until(lambda: not any(any(outbox.backlog(name)) for name in ("birch", "cedar")), "the queues")


def test_what_is_handed_over_is_lacking_until_a_vault_has_it(host: Host) -> None:
    """From the moment the app hands it over, whoever waits until a vault lacks nothing waits for it: also before any queue has it."""
    outbox = host.ship("birch", "cedar", "elm", apart="elm")
    host.open(outbox, "birch", "cedar", "elm")
    for number in range(40):
        host.hand_over("media", f"post{number}")
        assert outbox.lacking()["cedar"] or layout.media(f"post{number}") in host.vaults["cedar"].put
    wait_until(lambda: not any(outbox.lacking().values()), "the queues")
    assert len(host.vaults["cedar"].put) == 80, "the pictures, and headers of what elm keeps of them"


def test_what_no_app_hands_over_keeps_nobody_waiting(host: Host) -> None:
    """It is told, stays where it is, and is lacking nowhere."""
    outbox = host.ship("birch", "cedar")
    host.hand_over("media", "no name of a picture.jpg")
    wait_until(lambda: "no?name" in str(outbox.passed_over), "a look")
    assert outbox.lacking() == {"birch": 0, "cedar": 0}
    host.hand_over("media", "post")
    assert outbox.lacking() == {"birch": 1, "cedar": 1}


def test_what_a_vault_was_left_without_goes_there_once_it_is_handed_over_again(host: Host) -> None:
    """The others have it; to the one that was left behind nothing is owed, also under another set, before the app says so again."""
    before = host.ship("birch", "cedar", "elm")
    host.hand_over("key", KEY)
    host.hand_over("media", "post")
    waits(before, 2, "birch", "cedar", "elm")
    host.open(before, "birch", "cedar")
    before.leave("elm")
    before.stop()
    after = host.ship("elm")
    host.open(after, "elm")
    assert host.vaults["elm"].list(layout.MEDIA) == []
    host.hand_over("media", KEY)
    host.hand_over("media", "post")
    wait_until(lambda: len(host.vaults["elm"].list(layout.MEDIA)) == 2, "both")
