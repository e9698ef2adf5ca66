"""A vault whose store lets nobody remove a version: it takes WAL and snapshots, is pruned as far as that goes, and gives all of it back alone."""

from __future__ import annotations

from collections.abc import Callable

from resilience.replication import layout
from tests.replication.harness import Fleet, Site
from tests.replication.test_scratch import copy_beside, write_much

ROWS = list(range(1, 81))


def shipped(acorn: Site) -> str:
    """Rows, with a snapshot before and one among them; the id that the second has in elm."""
    acorn.begin()
    for first in (1, 21, 41):
        acorn.insert(first, first + 19)
        write_much(acorn)
    newest: str = acorn.run("snapshot", config=acorn.ship_config())["snapshots"]["elm"]
    acorn.insert(61, 80)
    acorn.wait_everywhere()
    return newest


def in_use(fleet: Fleet) -> list[str]:
    """Locks of restic that elm shows, by which nobody takes a snapshot there, or removes one."""
    return fleet.vaults()["elm"].list(f"{layout.repository(1)}/locks/")


def test_a_locked_vault_is_pruned_and_gives_everything_back_alone(sites: Callable[..., Site], locked: Fleet) -> None:
    """What the lock holds back fails nothing: snapshots go on, the next prune tries again, and the others may lose all they have."""
    acorn = sites(locked, "acorn")
    newest = shipped(acorn)
    assert in_use(locked) == [], "a snapshot hides its lock where it can't remove it"
    words = ("--vault", "elm", "--proven", newest, "--really")
    gone = acorn.run("prune", *words, config=acorn.config("operator"))
    assert (gone["removed"], gone["snapshots"]) == (True, 1)
    assert gone["held_back"] > gone["chunks"] > 0
    assert "elm could not erase" in gone["why"]
    assert in_use(locked) == [], "what restic removed stays hidden"
    assert "elm" in acorn.run("snapshot", config=acorn.ship_config())["snapshots"]
    again = acorn.run("prune", *words, config=acorn.config("operator"))
    assert again["held_back"] >= gone["held_back"]
    acorn.kill_postgres()
    acorn.end()

    reader = sites(locked, "reader", standby=True)
    found, _ = copy_beside(reader, "verify", "--vault", "elm")
    assert (found["rows"], found["vault"], found["passed_over"]) == (80, "elm", [])
    birch = sites(locked, "birch")
    for name in ("birch", "cedar"):
        vault = locked.vaults()[name]
        for key in vault.list(""):
            if not key.startswith("epoch/"):
                vault.delete(key)
    assert birch.run("restore")["snapshot_vault"] == "elm"
    birch.run("recover")
    assert birch.rows() == ROWS
