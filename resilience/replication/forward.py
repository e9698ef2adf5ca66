"""Forward: which epoch comes after the one that is followed, told by signed records alone.

Nothing here believes an absence: a record that cannot be read now is looked for again a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from resilience.model import EpochRecord, newest_first
from resilience.ports import Vault
from resilience.replication import chunk, layout
from resilience.replication import epoch as epochs
from resilience.replication.config import Config
from resilience.replication.trace import Leg, known_epochs, legs

T = TypeVar("T")


class Forward:
    """Epochs as the vaults show them, from the configured one on."""

    def __init__(self, config: Config, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults
        self._verify = config.verify
        self.known = known_epochs(config, vaults)
        self._rivals: dict[int, list[EpochRecord]] = {}

    @property
    def newest(self) -> EpochRecord:
        """The newest epoch seen so far."""
        return self.known[max(self.known)]

    def look(self) -> None:
        """Look for the epochs after the newest."""
        while True:
            number = self.newest.number + 1
            answers = epochs.each(self._vaults, lambda vault, n=number: epochs.read(vault, n, self._verify))  # type: ignore[misc]
            shown = {name: a for name, a in answers.items() if isinstance(a, EpochRecord)}
            if not shown:
                return
            self._rivals[number] = newest_first(shown)
            self.known[number] = self._rivals[number][0]

    def leg(self, number: int, position: int) -> list[Leg]:
        """The legs from a position up to this epoch's, oldest first."""
        child = replace(self.known[number], number=number + 1, parent=number)
        return legs(self.known, child, self._vaults, (), position, None)

    def after(self, current: Leg) -> tuple[int | None, Leg | None]:
        """Where a later epoch cut this leg, and the leg that follows; None where neither is told yet."""
        cut: int | None = None
        for number in range(current.record.number + 1, self.newest.number + 1):
            for record in self._rivals.get(number, [self.known[number]]):
                opening = self._read(layout.opening(number), lambda d, r=record: chunk.decode_opening(d, r))  # type: ignore[misc]
                if opening is not None:
                    cut = opening.end if cut is None else min(cut, opening.end)
                start = self._read(layout.first(number), lambda d, r=record: chunk.decode_start(d, r))  # type: ignore[misc]
                if start is not None and opening is not None:
                    return cut, Leg(record, start, start.start, None, {})
        return cut, None

    def _read(self, key: str, decode: Callable[[bytes], T | None]) -> T | None:
        answers = epochs.each(self._vaults, lambda vault: vault.get(key))
        found = (decode(answer) for answer in answers.values() if isinstance(answer, bytes))
        return next((record for record in found if record is not None), None)
