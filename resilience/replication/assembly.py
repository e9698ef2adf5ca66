"""Assembly: the WAL of a history's legs, from all vaults, as segment files for Postgres to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resilience.errors import BrokenChain
from resilience.ports import Vault
from resilience.replication import chain as chains
from resilience.replication import chunk, lsn
from resilience.replication.chain import Chain
from resilience.replication.chunk import Header
from resilience.replication.config import Config
from resilience.replication.gather import Gathered
from resilience.replication.objects import Place
from resilience.replication.segments import Segments, refuse_disagreement
from resilience.replication.trace import Leg

Part = tuple[Leg, Gathered, Chain]
"""A leg, what was fetched of it, and the chain that this makes."""


def assemble(
    config: Config,
    vaults: Mapping[str, Vault],
    legs: Sequence[Leg],
    segments: Segments,
    arrived: Callable[[Header, bytes], None],
    looked_at: Place | None = None,
) -> list[Part]:
    """All legs, each to its limit or its proven end; BrokenChain where a piece is in no vault.

    A standby's own copies heal what vaults lost; up to `looked_at` their signatures were looked at before.
    """
    sealed = config.sealed or config.record.vaults
    accept = lsn.parse(config.accept_end) if config.accept_end else None
    parts: list[Part] = []
    for leg in legs:
        gathered = Gathered(leg.record, vaults, sealed, config.paths.wal / "objects", looked_at)
        gathered.records.update(leg.records)
        chain = gathered.walk(leg.position, leg.limit, accept, arrived)
        _same_history(config, gathered, chain)
        parent = parts[-1][0].start.timeline if parts else 0
        if leg.start.timeline > max(1, parent):
            _branch(segments, leg, parent, parts[-1][2] if parts else None)
        segments.cut(leg.start.timeline, chain.end)
        parts.append((leg, gathered, chain))
    return parts


def _branch(segments: Segments, leg: Leg, parent: int, before: Chain | None) -> None:
    if before is not None and before.end < leg.start.start:
        raise BrokenChain(
            f"WAL from {lsn.show(before.end)} to {lsn.show(leg.start.start)}, where epoch {leg.record.number} began",
            before.good_until,
            "Bring back a vault that holds it.",
        )
    segments.branch(leg.start.timeline, parent, leg.start.start if before else leg.position, leg.start.history)


def _same_history(config: Config, gathered: Gathered, chain: Chain) -> None:
    pairs = chains.overlaps(chain)
    bodies = {header: chunk.split(gathered.object(header))[1] for pair in pairs for header in pair}
    refuse_disagreement(pairs, {h: chunk.open_body(h, body, config.key()) for h, body in bodies.items()})
