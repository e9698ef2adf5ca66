"""What can go wrong, said so that a person knows what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PlazaError(Exception):
    """A failure of a command or of the server: what, why, what next."""

    def __init__(self, what: str, why: str, next_step: str) -> None:
        super().__init__(f"{what}: {why}. {next_step}")
        self.what = what
        self.why = why
        self.next_step = next_step


class NoWayBack(PlazaError):
    """A schema that is not taken back: what people did since would be dropped, and nobody could bring it again."""

    def __init__(self, lost: str) -> None:
        super().__init__(
            "This schema can't be taken back",
            f"it would drop {lost}",
            "Restore a copy from before it, beside this one.",
        )


class LedgerBroken(PlazaError):
    """The ledger can't be trusted from some entry on."""


class NotSafeElsewhere(Exception):
    """Recorded here, but not confirmed by the vaults in time; nobody may be told `done`."""


class Refused(Exception):
    """A request that is answered with an error: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details


def not_found() -> Refused:
    """The answer for everything that isn't there, or isn't there for this reader."""
    return Refused(404, "Record not found")
