"""Forward: which epoch comes after the one that is followed, told by signed records alone.

Nothing here believes an absence: a record that cannot be read now is looked for again a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from resilience.errors import UsageError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout
from resilience.replication import epoch as epochs
from resilience.replication.chunk import Opening
from resilience.replication.config import Config
from resilience.replication.trace import Leg, child_of, known_epochs, legs

T = TypeVar("T")
Each = Callable[[str, Callable[[Vault], Any]], Mapping[str, Any]]
"""A question, by its name, to all vaults; answers and errors by theirs."""


class Forward:
    """Epochs as the vaults show them, from the configured one on."""

    def __init__(self, config: Config, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults
        self.each: Each = lambda _, ask: epochs.each(vaults, ask)
        """How all vaults are asked: every one is waited for, unless somebody sees to it that none is."""
        self._verify = config.verify
        self.known = known_epochs(config, vaults)
        self._rivals: dict[int, list[EpochRecord]] = {}

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
        while True:
            number = self.newest.number + 1
            answers = self.each(layout.epoch(number), lambda vault, n=number: epochs.read(vault, n, self._verify))  # type: ignore[misc]
            rivals = epochs.likeliest(self._vaults, answers, self._verify)
            if not rivals:
                return
            self._rivals[number] = rivals
            self.known[number] = rivals[0]

    def leg(self, number: int, position: int) -> list[Leg]:
        """The legs from a position up to this epoch's, oldest first."""
        return legs(self.known, child_of(self.known[number]), self._vaults, (), position, None)

    def after(self, current: Leg) -> tuple[int | None, Leg | None]:
        """Where a later epoch cut this leg, and the leg that follows; None where neither is told yet.

        One that goes on from an older epoch passes over all between: where this is one of them, it cuts all of it.
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
            cut = opening.end if cut is None else min(cut, opening.end)
            start = self._read(layout.first(record.number), lambda d, r=record: chunk.decode_start(d, r))  # type: ignore[misc]
            if start is not None:
                return cut, Leg(record, start, start.start, None, {})
        return cut, None

    def _opened(self, number: int) -> list[tuple[EpochRecord, Opening]]:
        """The epochs of this number that were opened: one at most, where nobody sealed in too few vaults."""
        rivals = self._rivals.get(number, [self.known[number]])
        found = [
            (record, self._read(layout.opening(number), lambda d, r=record: chunk.decode_opening(d, r)))  # type: ignore[misc]
            for record in rivals
        ]
        opened = [(record, opening) for record, opening in found if opening is not None]
        self.known.update((number, record) for record, _ in opened[:1])
        return opened

    def _read(self, key: str, decode: Callable[[bytes], T | None]) -> T | None:
        answers = self.each(key, lambda vault: vault.get(key))
        found = (decode(answer) for answer in answers.values() if isinstance(answer, bytes))
        return next((record for record in found if record is not None), None)
