"""Which chunks a vault may lose once a snapshot was proven: none that may hold the position where its WAL begins."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import Refused
from resilience.replication import layout, lsn
from resilience.replication import prune as pruning
from resilience.replication.label import Label
from tests.unit.test_chunk import EPOCH
from tests.unit.test_incoming import put

MIB = 1 << 20
POSITION = 64 * MIB


class Base:
    """As much of a snapshot's label as pruning asks."""

    epoch = EPOCH.number
    start = POSITION


def needless(vault: MemoryVault) -> list[int | None]:
    """Where the chunks begin that may go, in MiB."""
    keys = pruning._needless(vault, EPOCH, POSITION, cast(Label, cast(Any, Base())))
    return [start // MIB if (start := layout.chunk_start(key)) is not None else None for key in keys]


def shipped(*starts: int) -> MemoryVault:
    """Chunks that begin there, each up to the next, in MiB."""
    vault = MemoryVault("birch")
    for start, end in itertools.pairwise(starts):
        put(vault, start * MIB, end * MIB)
    return vault


def test_what_ends_long_before_may_go() -> None:
    """All but the chunks of which one may hold the position: none is longer than eight MiB."""
    assert needless(shipped(40, 44, 48, 52, 55, 57, 61, 65, 69)) == [40, 44, 48, 52, 55]


def test_a_chunk_that_somebody_put_in_between_hides_none() -> None:
    """It begins exactly where the snapshot's WAL does, within the one that holds it, or before; that one stays."""
    for at in (POSITION, POSITION - 2 * MIB):
        vault = shipped(40, 44, 48, 52, 55, 57, 61, 65, 69)
        put(vault, at, POSITION + MIB)
        assert needless(vault) == [40, 44, 48, 52, 55]


def test_nothing_goes_where_no_whole_chunk_holds_the_position() -> None:
    """What is there is altered, or ends before."""
    vault = shipped(40, 44, 48, 52, 55, 57, 61)
    vault.put_new(layout.chunk(EPOCH.number, 61 * MIB), b"rubbish")
    with pytest.raises(Refused, match=f"no whole chunk at {lsn.show(POSITION)}"):
        needless(vault)
