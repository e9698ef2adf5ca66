"""Patience: a vault whose reads keep failing is asked no more, so that the others give a restore what they have in time.

Each question has retries and time limits of its own, the client library's. A restore asks dozens, one after
another: with a vault that never answers, each would wait for as long again.
"""

from __future__ import annotations

import builtins
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import TypeVar

import structlog

from resilience.errors import VaultSilent
from resilience.ports import Vault
from resilience.replication import layout
from resilience.replication.aside import begin
from resilience.replication.epoch import each
from resilience.replication.originals import AsPut, KeepsVersions, TellsWrittenOver

PATIENCE = 10.0
"""Seconds for which a vault may give nothing before the others have to do without it."""
AGAIN = 30.0
"""Seconds after which a vault that was left is asked one question more."""
T = TypeVar("T")
log = structlog.get_logger()


def patiently(vaults: Mapping[str, Vault]) -> dict[str, Vault]:
    """The vaults, each of them left alone once its reads have failed for too long; one that is so already stays as it is."""
    return {name: vault if isinstance(vault, Patient) else Patient(vault) for name, vault in vaults.items()}


def sounded_out(vaults: Mapping[str, Vault]) -> dict[str, Vault]:
    """The same, each asked something small beforehand: who is silent is known, and who is slow has given something."""
    found = patiently(vaults)
    each(found, lambda vault: vault.list(layout.EPOCH))
    return found


def patience_with(vault: Vault) -> float:
    """Seconds for which it may still give nothing before the others have to do without it; 0 where that is so."""
    within = vault.vault if isinstance(vault, AsPut) else vault
    return within.patience if isinstance(within, Patient) else PATIENCE


class Patient:
    """A vault that is left alone while it gives nothing: then a question fails at once, as one that nobody answered.

    Only what was read or taken whole counts as given: a store that cuts bodies still says well that something is there or is not.
    One read that stalls says nothing of the vault where others were given something meanwhile. Until it gave anything a
    question has no longer than the patience: its client would ask two more times.
    """

    def __init__(self, vault: Vault, now: Callable[[], float] = time.monotonic) -> None:
        self.name = vault.name
        self._vault = vault
        self._now = now
        self._lock = threading.Lock()
        self._since: float | None = None
        """When the first question was asked of those that failed since anything was given."""
        self._given = -math.inf
        """When anything was given last."""
        self._asked = self._failed_at = 0.0
        self._why = ""
        self._awaited: dict[object, float] = {}
        """When what is under way was begun."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent; tried however long it gave nothing, for enough vaults must take it."""
        return self._noted(self._now(), lambda: self._vault.put_new(key, data), lambda _: True)

    def get(self, key: str) -> bytes | None:
        """The whole object."""
        return self._read(lambda: self._vault.get(key), lambda data: data is not None)

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        return self._read(lambda: self._vault.exists(key), lambda _: False)

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        return self._read(lambda: self._vault.list(prefix), lambda _: True)

    def first(self, key: str) -> bytes | None:
        """The oldest version, where the store keeps versions."""
        vault = self._vault
        return self._read(lambda: vault.first(key), bool) if isinstance(vault, KeepsVersions) else None

    def versions_of(self, prefix: str) -> tuple[builtins.list[str], frozenset[str]]:
        """Keys with this prefix, and those that were written over, as far as the store says."""
        vault = self._vault

        def ask() -> tuple[builtins.list[str], frozenset[str]]:
            if isinstance(vault, TellsWrittenOver):
                return vault.versions_of(prefix)
            return vault.list(prefix), frozenset()

        return self._read(ask, lambda _: True)

    def delete(self, key: str) -> None:
        """Remove `key`."""
        self._vault.delete(key)

    def erase(self, key: str) -> None:
        """Remove every version of `key`."""
        self._vault.erase(key)

    def close(self) -> None:
        """The vault is called no more."""
        self._vault.close()

    @property
    def patience(self) -> float:
        """Seconds until it counts as giving nothing, should it answer nothing of what is under way; 0 where it does."""
        with self._lock:
            now = self._now()
            silent_since = max(min(self._awaited.values(), default=now), self._given)
            return 0.0 if self._failed_for() >= PATIENCE else max(0.0, silent_since + PATIENCE - now)

    def _read(self, ask: Callable[[], T], given: Callable[[T], bool]) -> T:
        began = self._now()
        self._refuse_left(began)
        return self._noted(began, lambda: ask() if self._given > -math.inf else self._in_time(ask), given)

    def _noted(self, began: float, ask: Callable[[], T], given: Callable[[T], bool]) -> T:
        """The answer; that it is awaited is noted, and what comes of it."""
        this = object()
        with self._lock:
            self._awaited[this] = began
        try:
            answer = ask()
        except VaultSilent as error:
            self._failed(began, error)
            raise
        finally:
            with self._lock:
                del self._awaited[this]
        if given(answer):
            with self._lock:
                self._since, self._given = None, self._now()
        return answer

    def _in_time(self, ask: Callable[[], T]) -> T:
        """The answer; VaultSilent where there is none yet, and what comes of it later counts for nothing."""
        asked = begin(ask)
        if wait([asked], PATIENCE).not_done:
            why = f"{self.name} has given nothing yet, and nothing came within {PATIENCE:.0f} s."
            raise VaultSilent(f"{self.name} did not answer.", why, f"Look at {self.name}'s endpoint.")
        return asked.result()

    def _refuse_left(self, now: float) -> None:
        """VaultSilent where it was left, but for one question now and then."""
        with self._lock:
            if self._failed_for() < PATIENCE or now >= self._asked + AGAIN:
                self._asked = now
                return
            waited = now - (self._since or now)
        raise VaultSilent(
            f"{self.name} gives nothing and is not asked now.",
            f"What was asked of it failed for {waited:.0f} s: {self._why}",
            f"Look at {self.name}; whatever the others lack needs it back.",
        )

    def _failed_for(self) -> float:
        """How long it had given nothing when a question failed last."""
        return 0.0 if self._since is None else self._failed_at - self._since

    def _failed(self, began: float, error: VaultSilent) -> None:
        with self._lock:
            before = self._since
            self._asked = self._failed_at = self._now()
            self._why = error.why
            silent = began if self._given <= began else self._failed_at
            self._since = silent if before is None else min(before, silent)
            left = self._failed_at >= self._since + PATIENCE and (before is None or began < before + PATIENCE)
        if left:
            log.warning("a vault gives nothing and is asked no more", vault=self.name, why=error.why)
