"""Merging: many vaults' chunks into one chain without a hole. Pure.

A chunk that is altered is simply not among what is given here. Whether the chain's end is
the end is for the caller to prove: by a 404 at every sealed vault, never by a listing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from resilience.errors import BrokenChain, VaultError
from resilience.model import EpochRecord
from resilience.replication import layout, lsn
from resilience.replication.chunk import Header
from resilience.replication.quorum import held_by


@dataclass(frozen=True, slots=True)
class Chain:
    """Chunks that join without a hole from `position` to `end`."""

    position: int
    headers: tuple[Header, ...]
    end: int
    confirmed: int
    """Highest position that a valid chunk on the chain, or past a hole, says k vaults held."""

    @property
    def good_until(self) -> str:
        """Where and when the chain ends, for a person."""
        if not self.headers:
            return f"{lsn.show(self.position)}, where the snapshot begins"
        at = datetime.fromtimestamp(self.headers[-1].at, UTC)
        return f"{lsn.show(self.end)} ({at:%Y-%m-%d %H:%M:%S.%f} UTC)"

    def before(self, header: Header) -> Chain:
        """What of it lies before one of its chunks."""
        headers = self.headers[: self.headers.index(header)]
        return replace(self, headers=headers, end=headers[-1].end if headers else self.position)


def merge(position: int, chunks: Mapping[str, Mapping[int, Header]], limit: int | None = None) -> Chain:
    """The longest chain from `position` (up to `limit`) that the valid chunks of all vaults make.

    A chunk that begins exactly where one ends goes before any that only reaches over: its name was taken when that one was
    acknowledged, and whoever came to the site's key later can put a chunk under a free name alone.
    """
    found = {(h.start, h.end, h.sha256): h for held in chunks.values() for h in held.values()}
    ordered = sorted((h for h in found.values() if limit is None or h.start < limit), key=lambda h: (h.start, h.end))
    chain: list[Header] = []
    end, index = position, 0
    over: Header | None = None
    while True:
        exact: Header | None = None
        while index < len(ordered) and ordered[index].start <= end:
            header = ordered[index]
            over = header if over is None or header.end > over.end else over
            exact = header if header.start == end else exact
            index += 1
        best = exact or over
        if best is None or best.end <= end:
            break
        chain.append(best)
        end = best.end
    confirmed = max((h.confirmed for h in (*chain, *(h for h in found.values() if h.start >= end))), default=0)
    if limit is not None:
        end, confirmed = min(end, limit), min(confirmed, limit)
    return Chain(position, tuple(chain), end, confirmed)


def settled(chain: Chain, chunks: Mapping[str, Mapping[int, Header]], clean: Iterable[str], k: int) -> int:
    """How far a follower may go: what k vaults hold, each of which showed no newer epoch after its chunks were read.

    A later chunk that carries a position as confirmed is as good. Anything else may lie past the end that the next
    epoch records, and a standby that replayed it could never follow again.
    """
    trusted = frozenset(clean)
    reach = [_reach(chain, held) if name in trusted else 0 for name, held in chunks.items()]
    agreed = held_by(k, reach) if len(reach) >= k else 0
    return max(chain.position, agreed, min(chain.confirmed, chain.end))


def _reach(chain: Chain, held: Mapping[int, Header]) -> int:
    """Up to where one vault holds this very chain."""
    lacked = next((header.start for header in chain.headers if held.get(header.start) != header), chain.end)
    return max(lacked, chain.position)


def overlaps(chain: Chain) -> list[tuple[Header, Header]]:
    """Chunks of which the later begins before the earlier ends: their bytes must agree."""
    pairs = []
    for place, two in enumerate(chain.headers):
        before = place - 1
        while before >= 0 and chain.headers[before].end > two.start:
            pairs.append((chain.headers[before], two))
            before -= 1
    return pairs


def forked(chain: Chain, chunks: Mapping[str, Mapping[int, Header]]) -> dict[Header, list[str]]:
    """Chunks of the chain under whose name another one lies somewhere: an object is written once, so one of both is of another history."""
    contents: dict[int, set[str]] = {}
    for held in chunks.values():
        for start, header in held.items():
            contents.setdefault(start, set()).add(header.sha256)
    return {
        h: sorted(n for n, held in chunks.items() if h.start in held)
        for h in chain.headers
        if len(contents[h.start]) > 1
    }


def strays(chain: Chain, chunks: Mapping[str, Mapping[int, Header]]) -> dict[Header, list[str]]:
    """Valid chunks that are none of the chain, though they begin before its end; and who holds them."""
    on_it = set(chain.headers)
    found: dict[Header, list[str]] = {}
    for name, held in chunks.items():
        for header in held.values():
            if header not in on_it and header.start < chain.end and header.end > chain.position:
                found.setdefault(header, []).append(name)
    return found


def unlinked(chain: Chain) -> list[tuple[Header, Header]]:
    """Neighbours of which the later says that it goes on from another chunk than the earlier."""
    return [(one, two) for one, two in pairwise(chain.headers) if two.before and not goes_on(one, two)]


def goes_on(one: Header, two: Header) -> bool:
    """Whether a chunk says that it goes on from this one."""
    return (two.before, two.start) == (one.sha256, one.end)


def behind(two: Header, chain: Chain, known: Mapping[str, Header]) -> list[Header] | None:
    """Chunks that lead to one of the chain, as each says of the one before it, back to where they are the chain's own.

    None where one of them names none, or one that is not known by its hash.
    """
    on_it, found = set(chain.headers), []
    while two.start > chain.position:
        one = known.get(two.before)
        if one is None or not goes_on(one, two):
            return None
        if one in on_it:
            break
        found.append(one)
        two = one
    return found


def refuse_hole(chain: Chain, later: Iterable[int], epoch: int) -> None:
    """BrokenChain when a vault names a chunk past the end, or one says that more was confirmed."""
    beyond = sorted(start for start in later if start > chain.end)
    if beyond:
        raise BrokenChain(
            f"WAL of epoch {epoch} from {lsn.show(chain.end)} to {lsn.show(beyond[0])}",
            chain.good_until,
            _accept(chain, f"{len(beyond)} later chunks are there, the last begins at {lsn.show(beyond[-1])}."),
        )
    if chain.confirmed > chain.end:
        raise BrokenChain(
            f"WAL of epoch {epoch} from {lsn.show(chain.end)} to {lsn.show(chain.confirmed)}",
            chain.good_until,
            _accept(chain, f"A chunk says that {lsn.show(chain.confirmed)} was confirmed."),
        )


def refuse_unseen(chain: Chain, record: EpochRecord, asked: Iterable[str]) -> None:
    """BrokenChain when too few of an epoch's own vaults were asked to know its end: any n - k + 1 show what k of them hold."""
    unasked = [name for name in record.vaults if name not in set(asked)]
    if len(unasked) >= record.k:
        raise BrokenChain(
            f"what only {', '.join(unasked)} may hold of epoch {record.number} past {lsn.show(chain.end)}",
            chain.good_until,
            _accept(chain, f"{record.k} of its {len(record.vaults)} vaults had to hold what was confirmed."),
        )


def refuse_altered(chain: Chain, vaults: Iterable[str], epoch: int) -> None:
    """BrokenChain when the next chunk is there, but in every vault that holds it altered."""
    names = sorted(vaults)
    if names:
        raise BrokenChain(
            f"an unaltered chunk of epoch {epoch} at {lsn.show(chain.end)} (altered in {', '.join(names)})",
            chain.good_until,
            _accept(chain, "Nobody but the lost site could have signed what should be there."),
        )


def refuse_fork(before: Chain, what: str) -> None:
    """BrokenChain where two histories lie under one epoch, with a chain that ends before they part."""
    raise BrokenChain(
        f"one history: {what}, so one of both",
        before.good_until,
        "The old primary was rolled back while it shipped, or somebody has its key. Look which one its other chunks go on from, and remove "
        "the other with the operator's credentials; or go on without both, on purpose: "
        f"resilience failover --accept-end {lsn.show(before.end)} --accept broken-chain",
    )


def refuse_doubt(position: int, one: Header, two: Header) -> None:
    """BrokenChain where nobody can tell with which of two chunks a chain begins."""
    raise BrokenChain(
        f"one history: chunks of epoch {one.epoch} at {lsn.show(one.start)} and {lsn.show(two.start)} hold what a snapshot begins with, and differ, so one of both",
        f"{lsn.show(position)}, where the snapshot begins",
        "Somebody has the site's key, or its machine was rolled back. The right one begins where the chunk before it ends: remove the other "
        f"below {layout.wal(one.epoch)} with the operator's credentials, and run the same command again.",
    )


def _accept(chain: Chain, fact: str) -> str:
    return (
        f"{fact} Bring back a vault that holds what is missing, or go on without it, on purpose: "
        f"resilience failover --accept-end {lsn.show(chain.end)} --accept broken-chain"
    )


def one_system(headers: Iterable[Header], system_id: str) -> None:
    """VaultError when chunks of two databases lie in one chain."""
    others = {h.system_id for h in headers} - {system_id}
    if others:
        raise VaultError(
            f"The chain holds WAL of another database: system {', '.join(sorted(others))}, not {system_id}",
            "Two databases were shipped under one epoch.",
            "Look at which host shipped last; restore from a snapshot of the right one.",
        )
