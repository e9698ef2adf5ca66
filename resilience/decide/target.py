"""Target: the site to go to, of those that could be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from resilience.errors import UsageError


class Wording(NamedTuple):
    """How a plan says that it can't go to the site that was asked for, and that there is none to go to."""

    refused: str
    why_refused: str
    none: str
    why_none: str


def choose(left: Sequence[str], to: str | None, said: Wording) -> str:
    """The site that is asked for, else the first that is left; UsageError where it is none of them."""
    wanted = to or next(iter(left), None)
    if wanted in left:
        return str(wanted)
    what, why = (said.refused.format(to), said.why_refused) if to else (said.none, said.why_none)
    raise UsageError(
        f"{what}.",
        f"{why[0].upper()}{why[1:]}.",
        f"Sites that could be used: {', '.join(left) or 'none; declare another one'}.",
    )
