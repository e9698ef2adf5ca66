"""Small decisions of the data plane: forked ledgers, vanished files, configurations."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import BrokenChain, UsageError, VaultError
from resilience.model import EpochRecord
from resilience.replication import anchors, config, fetch_ledger, layout, lsn
from resilience.replication.courier import switch_point
from resilience.replication.entries import entry
from resilience.replication.fetch_ledger import choose
from resilience.replication.lineage import refuse_gap
from resilience.replication.restic import only_vanished
from resilience.replication.restore import CHUNK, cut_bytes


def keys(*entries: tuple[int, int]) -> list[str]:
    """Names of ledger entries by epoch and number."""
    return [f"ledger/{epoch:08d}/{seq:08d}" for epoch, seq in entries]


def test_the_ledger_runs_through_epochs() -> None:
    """Each epoch goes on where the one before ended."""
    chosen, forked = choose(keys((1, 1), (1, 2), (2, 3), (2, 4)), 2)
    assert chosen == {n: [key] for n, key in enumerate(keys((1, 1), (1, 2), (2, 3), (2, 4)), start=1)}
    assert forked == []


def test_what_a_fenced_site_added_later_is_forked() -> None:
    """Entries of an old epoch past what the new one began with are set aside, and told; where nobody says, they count."""
    there = keys((1, 1), (1, 2), (1, 3), (2, 2))
    assert [choose(there, 2)[0][seq] for seq in (1, 2, 3)] == [[key] for key in keys((1, 1), (2, 2), (1, 3))]
    chosen, forked = choose(there, 2, leading={2: 1})
    assert [chosen[seq] for seq in sorted(chosen)] == [[key] for key in keys((1, 1), (2, 2))]
    assert forked == keys((1, 2), (1, 3))


def test_a_gap_in_the_ledger_is_an_error() -> None:
    """Nobody may be served while an order to take something down is missing."""
    with pytest.raises(BrokenChain, match="ledger entry 2"):
        refuse_gap(choose(keys((1, 1), (1, 3)), 2)[0])
    assert choose([], 2) == ({}, [])
    junk = ["ledger/junk", "ledger/x/y", "ledger/00000009/00000001"]
    assert choose([*keys((1, 1)), *junk], 2) == choose(keys((1, 1)), 2), "names that nobody may use"


def error(item: str, message: str) -> str:
    """A line as restic prints it."""
    return json.dumps({"message_type": "error", "error": {"message": message}, "during": "archival", "item": item})


def test_only_vanished_files_are_forgiven() -> None:
    """A file removed while restic read is no failure; anything else is, and silence too."""
    gone = error("/pg/base/5/1234", "open /pg/base/5/1234: no such file or directory")
    denied = error("/pg/base/5/1235", "open /pg/base/5/1235: permission denied")
    elsewhere = error("/etc/passwd", "no such file or directory")
    assert only_vanished(f"{gone}\n{gone}\n", Path("/pg"))
    assert not only_vanished(f"{gone}\n{denied}\n", Path("/pg"))
    assert not only_vanished(elsewhere, Path("/pg"))
    assert not only_vanished("Fatal: something\n", Path("/pg"))


def test_the_switch_point_is_the_last_line() -> None:
    """A history of several timelines, with a comment and an empty line."""
    text = "1\t0/5000\tno recovery target specified\n\n# note\n2\t0/16B3748\tno recovery target specified\n"
    assert switch_point(text) == 0x16B3748


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    """Absent, no JSON, or with a key nobody knows: the file and the key are named, the values are not."""
    with pytest.raises(UsageError, match="cannot be read"):
        config.load(tmp_path / "none.json")
    path = tmp_path / "c.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="is no configuration"):
        config.load(path)
    path.write_text(json.dumps({"site": "acorn", "sites": 1, "identity": "AGE-SECRET-KEY-1"}))
    with pytest.raises(UsageError) as caught:
        config.load(path)
    assert "sites: Extra inputs" in caught.value.why
    assert "AGE-SECRET-KEY" not in str(caught.value)


def test_a_ledger_is_read_from_enough_vaults() -> None:
    """Each entry is in k = 2 of three: one silent vault hides nothing, two may; who is declared lost is not asked."""
    record = EpochRecord(1, "acorn", "n", 0, ("birch", "cedar", "elm"), 2, 2, 1.0, "", "")
    ledgers = anchors.Ledgers((record,))
    silent = VaultError("elm could not list ledger/", "timed out", "Bring it back.")
    fetch_ledger._refuse_too_few(ledgers, {"birch": [], "cedar": []}, {"elm": silent})
    fetch_ledger._refuse_too_few(ledgers, {"birch": []}, {})
    with pytest.raises(VaultError, match="1 vaults of epoch 1 list the ledger"):
        fetch_ledger._refuse_too_few(ledgers, {"birch": []}, {"cedar": silent, "elm": silent})
    with pytest.raises(VaultError, match="no vault lists it"):
        fetch_ledger._refuse_too_few(ledgers, {}, {})


def test_a_stale_listing_hides_no_entry() -> None:
    """Entries past the last that is listed are asked for by name."""
    vaults = {name: MemoryVault(name) for name in ("birch", "cedar")}
    for seq in (1, 2, 3):
        vaults["cedar"].put_new(layout.ledger(1, seq), b"")
    listed = {"birch": [layout.ledger(1, 1)], "cedar": [layout.ledger(1, 1)]}
    fetch_ledger._look_further(vaults, listed, 1, MemoryVault.exists)
    assert listed == {"birch": [layout.ledger(1, 1)], "cedar": [layout.ledger(1, seq) for seq in (1, 2, 3)]}


@pytest.mark.parametrize("hidden", [[(2, 4)], [(2, 4), (2, 5)], [(2, 1), (2, 2), (2, 3)], [(2, 4), (3, 5)]])
def test_no_listing_names_an_epochs_first_entry(hidden: list[tuple[int, int]]) -> None:
    """What a site put first is known though every listing is from before it, whichever number it began with."""
    there = keys((1, 1), (1, 2), (1, 3))
    vaults = {name: MemoryVault(name) for name in ("birch", "cedar")}
    for vault in vaults.values():
        for key in (*there, *keys(*hidden)):
            vault.put_new(key, b"")
    listed = {name: list(there) for name in vaults}
    fetch_ledger._look_further(vaults, listed, 4, MemoryVault.exists)
    assert [sorted(found) for found in listed.values()] == [sorted([*there, *keys(*hidden)])] * 2


class Yes(MemoryVault):
    """Has whatever it is asked for, and gives nothing."""

    def exists(self, key: str) -> bool:
        """Yes."""
        return True


def test_a_vault_that_has_everything_is_asked_for_it() -> None:
    """A yes is no entry: one that no listing names counts once it was read and opens."""
    listed = {"elm": [layout.ledger(1, 1)], "cedar": []}
    fetch_ledger._look_further(
        {"elm": MemoryVault("elm"), "cedar": Yes("cedar")},
        listed,
        1,
        lambda vault, key: entry(vault, key, SimpleNamespace(key=lambda: "AGE-SECRET-KEY-none")) is not None,  # type: ignore[arg-type]
    )
    assert listed == {"elm": [layout.ledger(1, 1)], "cedar": []}


def test_a_vault_that_gives_entries_without_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows for whom entries are sealed could make them as they are asked for."""
    monkeypatch.setattr(fetch_ledger, "ROUNDS", 5)
    with pytest.raises(VaultError, match="cedar"):
        fetch_ledger._look_further({"cedar": Yes("cedar")}, {"cedar": []}, 1, lambda *_: True)


def test_a_gap_is_found_without_counting_to_its_end() -> None:
    """One object, named as the last entry that can be, is not a hundred million numbers in memory."""
    tracemalloc.start()
    with pytest.raises(BrokenChain, match="ledger entry 2 "):
        refuse_gap(choose(keys((1, 1), (1, 9_999_999)), 1)[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_how_much_was_cut_off_tells_how_many_numbers_to_skip() -> None:
    """All WAL past the operator's end, and of epochs after; of an epoch that is gone back to whole, all of it."""
    vault = MemoryVault("elm")
    for number, starts in ((1, (0, 100 << 20)), (2, (40 << 20, 50 << 20))):
        for start in starts:
            vault.put_new(layout.chunk(number, start), b"")
    vaults = {"elm": vault}
    assert cut_bytes(vaults, config.Until(epoch=1, lsn=lsn.show(40 << 20)), 2) == (60 << 20) + CHUNK
    assert cut_bytes(vaults, config.Until(epoch=1, lsn=lsn.show(200 << 20)), 3) == (100 << 20) + (10 << 20) + 2 * CHUNK
    assert cut_bytes({"elm": MemoryVault("elm")}, config.Until(epoch=1, lsn="0/10"), 2) == 0
