"""States that were reached, each in some two hundred bytes; no digest stands for a state, so none is taken for another."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import Generic, TypeVar

from tests.epochs.states import State, Vault

Part = TypeVar("Part")
Rest = tuple[object, ...]


class Numbered(Generic[Part]):
    """Parts of states, which few of many states differ in: a number for each, in the order they were met."""

    def __init__(self) -> None:
        self._numbers: dict[Part, int] = {}
        self._parts: list[Part] = []

    def number(self, part: Part) -> int:
        """The number of a part; the next one if it is new."""
        found = self._numbers.setdefault(part, len(self._parts))
        if found == len(self._parts):
            self._parts.append(part)
        return found

    def __getitem__(self, number: int) -> Part:
        return self._parts[number]


class Reached:
    """States in the order in which they were reached, and from where each was."""

    def __init__(self, first: State) -> None:
        self._vaults: Numbered[Vault] = Numbered()
        self._rests: Numbered[Rest] = Numbered()
        self._form = struct.Struct(f"<{len(first.vaults) + 1}I")
        self._places: dict[bytes, int] = {}
        self._packed: list[bytes] = []
        self._before = array("I")
        self.add(first, 0)

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[State]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, place: int) -> State:
        rest, *vaults = self._form.unpack(self._packed[place])
        return State(tuple(map(self._vaults.__getitem__, vaults)), *self._rests[rest])  # type: ignore[arg-type]

    def add(self, state: State, before: int) -> None:
        """Note from where a state was reached, the first time."""
        packed = self._pack(state)
        if self._places.setdefault(packed, len(self._packed)) == len(self._packed):
            self._packed.append(packed)
            self._before.append(before)

    def way(self, place: int) -> list[State]:
        """The states on the shortest way there, from the first one on."""
        back = [place]
        while back[-1]:
            back.append(self._before[back[-1]])
        return [self[at] for at in reversed(back)]

    def _pack(self, state: State) -> bytes:
        return self._form.pack(self._rests.number(state[1:]), *map(self._vaults.number, state.vaults))
