"""What commands share: the fleet they were given, and how an error is said."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from resilience.cli.alone import alone, is_held
from resilience.errors import ResilienceError, UsageError
from resilience.model import Fleet, Plan, SignOff
from resilience.ports import World
from resilience.wire import Budgets, Home, real_world


@dataclass(frozen=True)
class Context:
    """The command line's shared options."""

    fleet_file: str

    @property
    def home(self) -> Home:
        """Where the fleet lives."""
        return Home(Path(self.fleet_file))

    def alone(self, *, urgent: bool = False, gives_way: bool = False) -> AbstractContextManager[Callable[[], bool]]:
        """Nobody else changes this fleet meanwhile; Locked where somebody does who does not give way to what is urgent."""
        return alone(self.home.directory / ".lock", urgent=urgent, gives_way=gives_way)

    def alone_at_rehearsals(self) -> AbstractContextManager[Callable[[], bool]]:
        """Nobody else makes or removes a rehearsal's host meanwhile: one that let the fleet go still removes its own."""
        return alone(self._rehearsals, at="rehearsing, or removing what a rehearsal made")

    def rehearses(self) -> bool:
        """Whether a rehearsal is under way here, or removes its host."""
        return is_held(self._rehearsals)

    @property
    def _rehearsals(self) -> Path:
        return self.home.directory / ".rehearsals.lock"

    @contextmanager
    def world(
        self,
        *,
        lost: list[str] | None = None,
        site: str | None = None,
        vaults: Iterable[str] = (),
        budget: Budgets | None = None,
    ) -> Iterator[tuple[Fleet, World]]:
        """The fleet as declared, and the real World with the fleet's own journal.

        Names that were typed are looked at first: a slip of the finger needs no kit and calls nobody.
        """
        fleet = self.home.load()
        declared(fleet, lost)
        if site in {one.vendor for one in fleet.sites} - {one.name for one in fleet.sites}:
            theirs = ", ".join(one.name for one in fleet.sites if one.vendor == site)
            raise UsageError(f"{site} is a vendor, and no site.", NOT_DECLARED, f"Its sites are: {theirs}.")
        refuse_unknown("site", site, [one.name for one in fleet.sites])
        for vault in vaults:
            refuse_unknown("vault", vault, [one.name for one in fleet.vaults])
        with real_world(self.home, fleet, self.home.journal, budget) as (world, _):
            yield fleet, world

    def keep(self, plan: Plan) -> None:
        """Remember a plan that a person is shown, so that it can be told what changed since."""
        folder = self.home.directory / "plans"
        folder.mkdir(exist_ok=True)
        (folder / f"{plan.digest}.json").write_text(json.dumps(plan.to_json(), indent=1))

    def kept(self, digest: str) -> Plan | None:
        """The plan of this digest, where it was shown here."""
        try:
            found = json.loads((self.home.directory / "plans" / f"{digest}.json").read_text())
            return Plan.from_json(found)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def sign_offs(given: list[str] | None) -> tuple[SignOff, ...]:
    """`WHO; REFERENCE; YYYY-MM-DD` each, where a reference may have semicolons; UsageError for anything else."""
    found = []
    for text in given or ():
        who, _, rest = text.partition(";")
        reference, _, day = rest.rpartition(";")
        parts = [part.strip() for part in (who, reference, day)]
        if not all(parts) or not is_date(parts[2]):
            raise UsageError(
                f"--sign-off {text!r} does not say who, for which order and when.",
                "Later somebody will ask who stood for it.",
                'Write it like: --sign-off "Jane Roe, counsel; AZ 12 O 34/26; 2026-11-25"',
            )
        found.append(SignOff(*parts))
    return tuple(found)


def is_date(text: str) -> bool:
    """Whether it is a day, written YYYY-MM-DD."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def declared(fleet: Fleet, lost: list[str] | None) -> frozenset[str]:
    """The vendors given with --lost; UsageError for one that the fleet does not have."""
    vendors = {vendor.name for vendor in fleet.vendors}
    for name in lost or ():
        if vendor := next((one.vendor for one in fleet.sites if one.name == name not in vendors), None):
            raise UsageError(f"{name} is a site, and no vendor.", NOT_DECLARED, f"Its vendor is {vendor}.")
        refuse_unknown("vendor", name, [vendor.name for vendor in fleet.vendors])
    return frozenset(lost or ())


NOT_DECLARED = "The fleet file does not name it, and nothing is done for a name that may be a slip of the finger."


def refuse_unknown(kind: str, name: str | None, known: list[str], why: str = NOT_DECLARED) -> None:
    """UsageError for a name that nothing of this kind has."""
    if name is not None and name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"No {kind} is called {name}.",
            why,
            f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}.",
        )


def say_error(error: ResilienceError) -> None:
    """One error, in three lines on standard error; as JSON where JSON was asked for."""
    if "--json" in sys.argv:
        said = {"error": error.what, "why": error.why, "next": error.next}
        sys.stdout.write(json.dumps({**said, "exit": int(error.exit_code)}) + "\n")
    sys.stderr.write(f"Error: {error}\n")


def say_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
