"""Every error a person can meet, and the exit status it ends in.

::

    ResilienceError            1   something went wrong, and nothing more exact is known
    ├── UsageError             2   the command line cannot be meant this way
    │   └── FleetError         2   the fleet file is wrong: which file, line or key
    ├── Refused                5   a hazard that nobody accepted
    ├── MissingPart            1   a program or a cache that set-up should have made
    ├── Locked                 1   somebody else is at work on the same thing
    ├── VendorClosed           1   a vendor answers as it does for a closed account
    ├── ShortRecovery          1   recovery ended before the end of the chain
    └── VaultError             1   one vault did not do what was asked
        ├── VaultSilent        1   it did not answer, or was too busy to: that is no refusal
        ├── Oversized          1   what it holds is larger than anything of its kind: as good as altered
        ├── TooFewVaults       1   not enough of them to seal, or to be sure
        ├── NoSnapshot         1   none of them gives a snapshot that can be used
        └── BrokenChain        1   data is missing everywhere, and is good until …

Each says three things, one line each: what happened, why, and what to do next.
They are called by what happened, so no name ends in "Error" unless the word would be nothing without it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit status, the same everywhere."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    MISSED = 3
    UNKNOWN = 4
    REFUSED = 5


def shown(text: str) -> str:
    """Without what a terminal obeys: there may be words in it of a vendor, a host, or whoever rules a database."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text)


class ResilienceError(Exception):
    """What happened, why, and what to do next."""

    exit_code: ClassVar[Exit] = Exit.ERROR

    def __init__(self, what: str, why: str, next: str) -> None:  # noqa: A002 - the word the reader sees
        self.what = shown(what)
        self.why = shown(why)
        self.next = shown(next)
        super().__init__(what, why, next)

    def __str__(self) -> str:
        return f"{self.what}\nWhy: {self.why}\nNext: {self.next}"


class UsageError(ResilienceError):
    """The command line cannot be meant this way."""

    exit_code = Exit.USAGE


class FleetError(UsageError):
    """The fleet file is wrong; `where` is its file, with the line or the key."""

    def __init__(self, where: str, why: str, next: str) -> None:  # noqa: A002 - as in the base
        self.where = where
        super().__init__(f"{where}: the fleet file is wrong", why, next)


class Refused(ResilienceError):
    """A hazard that nobody accepted by name."""

    exit_code = Exit.REFUSED


class MissingPart(ResilienceError):
    """A program or a cache that set-up should have made is not there."""


class Locked(ResilienceError):
    """Somebody else is at work on the same thing."""


class VendorClosed(ResilienceError):
    """A vendor answers as it does for a closed account; `code` is the vendor's own word."""

    def __init__(self, vendor: str, code: str) -> None:
        self.vendor = vendor
        self.code = code
        super().__init__(
            f"{vendor} answers as for a closed account: {code}",
            "The vendor ended, suspended or locked this account.",
            f"Where the app runs there, read the plan to leave it: `resilience plan --lost {vendor}`. "
            f"Else: `resilience protect --lost {vendor}`.",
        )


class VaultError(ResilienceError):
    """One vault did not do what was asked."""


class VaultSilent(VaultError):
    """A vault did not answer, or was too busy to: it refused nothing, and nothing is known of it."""


class Oversized(VaultError):
    """A vault answered with more than anything of that name can be: somebody else put it there."""


class TooFewVaults(VaultError):
    """Not enough vaults answer to seal an epoch or to be sure of the chain's end."""


class NoSnapshot(VaultError):
    """No vault gives a snapshot that can be used; a mirror may."""


class BrokenChain(VaultError):
    """A piece of the chain is in no vault; `missing` names it, data is good until `good_until`."""

    def __init__(self, missing: str, good_until: str, next: str) -> None:  # noqa: A002
        self.missing = missing
        self.good_until = good_until
        super().__init__(
            f"The chain is broken: {missing} is in no vault",
            f"Every vault that answers was asked; data is good until {good_until}.",
            next,
        )


class ShortRecovery(ResilienceError):
    """Recovery ended before the end of the chain; such a copy is never promoted."""
