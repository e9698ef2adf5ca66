"""Vaults in memory: conditional create, absence that is proven, and a vendor that may be gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from resilience.errors import Oversized
from resilience.replication import layout
from resilience.simulation.state import State

T = TypeVar("T")

PICTURE = b"what a picture is sealed as"


@dataclass
class SimVault:
    """A vault whose objects are in memory."""

    state: State
    name: str

    @property
    def _objects(self) -> dict[str, bytes]:
        return self.state.vaults[self.name].objects

    def _ask(self, verb: str, act: Callable[[], T]) -> T:
        return self.state.ask(f"vault.{self.name}.{verb}", self.state.vaults[self.name].vendor, 0.02, act)

    def _picture(self, key: str) -> bool:
        return key.startswith(layout.MEDIA) and key.removeprefix(layout.MEDIA) in self.state.vaults[self.name].pictures

    def put_new(self, key: str, data: bytes) -> bool:
        """Create if absent."""

        def create() -> bool:
            if key in self._objects or self._picture(key):
                return False
            if key.startswith(layout.MEDIA):
                self.state.vaults[self.name].pictures.add(key.removeprefix(layout.MEDIA))
            else:
                self._objects[key] = bytes(data)
            return True

        return self._ask("put_new", create)

    def get(self, key: str) -> bytes | None:
        """The object; None when it is surely absent."""

        def look() -> bytes | None:
            data = PICTURE if self._picture(key) else self._objects.get(key)
            if data is not None and len(data) > layout.most(key):
                why = f"It is more than {layout.most(key) >> 20} MiB, and nothing of this kind is so large."
                raise Oversized(f"{self.name} could not get {key}", why, "Find out who put it there.")
            return data

        return self._ask("get", look)

    def exists(self, key: str) -> bool:
        """Whether it is there."""
        return self._ask("exists", lambda: key in self._objects or self._picture(key))

    def list(self, prefix: str) -> list[str]:
        """Keys with the prefix, in order."""

        def look() -> list[str]:
            pictures = (layout.media(name) for name in self.state.vaults[self.name].pictures)
            return sorted(key for key in (*self._objects, *pictures) if key.startswith(prefix))

        return self._ask("list", look)

    def delete(self, key: str) -> None:
        """Remove."""
        self._ask("delete", lambda: self._remove(key))

    def erase(self, key: str) -> None:
        """Remove for good."""
        self._ask("erase", lambda: self._remove(key))

    def _remove(self, key: str) -> None:
        self._objects.pop(key, None)
        self.state.vaults[self.name].pictures.discard(key.removeprefix(layout.MEDIA))

    def close(self) -> None:
        """It holds nothing open."""


@dataclass
class SimSupplies:
    """Supplies that weigh nothing."""

    state: State
    left_out: frozenset[str] = frozenset()
    """Vaults that nobody here asks."""

    def without(self, vaults: frozenset[str]) -> SimSupplies:
        """The same, with no door to these vaults."""
        return replace(self, left_out=self.left_out | vaults)

    def put(self) -> Mapping[str, Any]:
        """Put them into every vault that lacks them and answers."""

        def put() -> Mapping[str, Any]:
            asked = {name: held for name, held in self.state.vaults.items() if name not in self.left_out}
            for name, held in asked.items():
                if held.vendor in self.state.dead:
                    self.state.note_call(f"vault.{name}.put_new", held.vendor)
                else:
                    held.objects.setdefault("supplies/simulated/manifest.json", b"{}")
            return {"digest": "simulated", "bytes": 0, "vaults": list(asked)}

        return self.state.ask("supplies.put", None, 1.0, put)
