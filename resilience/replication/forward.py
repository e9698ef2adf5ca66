"""Forward: which epoch comes after the one that is followed, told by signed records alone.

Nothing here believes an absence: a record that cannot be read now is looked for again a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from resilience.errors import Oversized, ResilienceError, UsageError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout
from resilience.replication import epoch as epochs
from resilience.replication.chunk import Opening
from resilience.replication.config import Config
from resilience.replication.records import that_counts
from resilience.replication.trace import Leg, child_of, known_epochs, legs

T = TypeVar("T")


class Forward:
    """Epochs as the vaults show them, from the configured one on."""

    def __init__(self, config: Config, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults
        self.get = epochs.get_from(vaults)
        """How all vaults are asked: every one is waited for, unless somebody sees to it that none is."""
        self._verify = config.verify
        self._said: dict[str, dict[str, object]] = {}
        """What each vault said last, by key: whoever is slow, or answers now and then, is heard all the same."""
        self.known = known_epochs(config, vaults)
        self._given = dict(self.known)

    @property
    def newest(self) -> EpochRecord:
        """The newest epoch seen so far."""
        return self.known[max(self.known)]

    def record(self, number: int | None = None) -> EpochRecord:
        """The epoch of this number, or the newest; UsageError where there is none."""
        if number is None or number in self.known:
            return self.newest if number is None else self.known[number]
        raise UsageError(
            f"There is no epoch {number}.", f"The newest is {self.newest.number}.", "See `resilience status`."
        )

    def look(self) -> None:
        """Look for the epochs after the newest."""
        while rivals := self._shown(self.newest.number + 1):
            self.known[rivals[0].number] = rivals[0]

    def leg(self, number: int, position: int) -> list[Leg]:
        """The legs from a position up to this epoch's, oldest first."""
        return legs(self.known, child_of(self.known[number]), self._vaults, (), position, None)

    def after(self, current: Leg) -> tuple[int | None, Leg | None]:
        """Where a later epoch cut this leg, and the leg that follows; None where neither is told yet.

        As in `trace.back`, whoever began WAL of its own says where it went on, else the newest that was opened; and one that goes
        on from an older epoch passes over all between: where this is one of them, it cuts all of it.
        """
        number, path = self.newest.number, list[tuple[EpochRecord, Opening]]()
        while number > current.record.number:
            opened = self._opened(number)
            path[:0] = opened
            number = min((opening.parent for _, opening in opened), default=number - 1)
        if number < current.record.number:
            return 0, None
        cut: int | None = None
        for record, opening in path:
            if not _ends(opening, current):
                break
            cut = opening.end
            start = self._read(record, layout.first(record.number), chunk.decode_start)
            if start is not None:
                return cut, Leg(record, start, start.start, None, {})
        return cut, None

    def _shown(self, number: int) -> list[EpochRecord]:
        """All epochs of this number that vaults show; of two rivals the one that was promoted may be heard last."""
        if number in self._given:
            return [self._given[number]]
        said = self._hear(layout.epoch(number))
        found = {name: epochs.decode(data, self._verify) for name, data in said.items() if isinstance(data, bytes)}
        shown = {name: record for name, record in found.items() if record is not None and record.number == number}
        return epochs.likeliest(self._hear, shown, self._verify)

    def _opened(self, number: int) -> list[tuple[EpochRecord, Opening]]:
        """The epochs of this number that were opened: one at most, where nobody sealed in too few vaults."""
        key = layout.opening(number)
        found = [(record, self._read(record, key, chunk.decode_opening)) for record in self._shown(number)]
        opened = [(record, opening) for record, opening in found if opening is not None]
        self.known.update((number, record) for record, _ in opened[:1])
        return opened

    def _read(self, record: EpochRecord, key: str, decode: Callable[[bytes, EpochRecord], T | None]) -> T | None:
        """An epoch's record, from any vault; where two that its site signed differ, the one of them that counts, else BrokenChain."""
        heard = self._hear(key)
        decoded = {name: decode(data, record) for name, data in heard.items() if isinstance(data, bytes)}
        held = {name: said for name, said in decoded.items() if said is not None}
        if not held:
            return None
        return held[that_counts(held, [name for name in record.vaults if name not in heard], record, key)]

    def _hear(self, key: str) -> Mapping[str, object]:
        said = self._said.setdefault(key, {})
        said.update((n, answer) for n, answer in self.get(key).items() if _is_word(answer))
        return said


def _is_word(answer: object) -> bool:
    """Whether a vault was heard; something that is too large lies there as surely as something altered."""
    return isinstance(answer, Oversized) or not isinstance(answer, ResilienceError)


def _ends(opening: Opening, leg: Leg) -> bool:
    """Whether it says where this leg ends, and not where one ends of which nothing is heard yet.

    That one has a timeline of its own, since another host was promoted; or the same host went on with another vault set,
    and put nothing past that under this epoch.
    """
    return opening.parent <= leg.record.number or opening.timeline == leg.start.timeline
