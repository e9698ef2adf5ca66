"""What a journal proves: its lines sorted around the fault, numbers that can be true, and findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from resilience.model import Event


class Impossible(ValueError):
    """A journal says something that cannot be true, or that is not what this place holds."""


@dataclass(slots=True)
class Findings:
    """Sentences: what was proven to break the promise, and what could not be known."""

    missed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Judge one part; whatever goes wrong in it makes that part unknown, and only that part."""
        try:
            yield
        except Impossible as error:
            self.unknown.append(f"{name}: {error}.")
        except Exception as error:  # noqa: BLE001 - a strange journal must end in "unknown", never in a pass
            self.unknown.append(f"{name}: the journal could not be understood ({type(error).__name__}: {error}).")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A journal as the judge reads it: in the order it was written, split at the line of the fault."""

    before: tuple[Event, ...]
    fault: Event | None
    after: tuple[Event, ...]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Evidence:
        """Split at the first `fault`; without one, everything is before it."""
        for index, event in enumerate(events):
            if event.kind == "fault":
                return cls(tuple(events[:index]), event, tuple(events[index + 1 :]))
        return cls(tuple(events), None, ())

    @property
    def events(self) -> tuple[Event, ...]:
        """All lines."""
        return (*self.before, *(() if self.fault is None else (self.fault,)), *self.after)

    @property
    def fault_at(self) -> float:
        """When the fault hit; Impossible where the journal has none."""
        if self.fault is None:
            raise Impossible("the journal has no fault, so nothing was measured")
        return when(self.fault)

    def kind(self, kind: str) -> list[Event]:
        """All lines of one kind."""
        return [e for e in self.events if e.kind == kind]

    def later(self, kind: str) -> list[Event]:
        """Lines of one kind after the fault."""
        return [e for e in self.after if e.kind == kind]

    def last(self, kind: str) -> Event:
        """The last line of one kind after the fault; Impossible where there is none."""
        found = self.later(kind)
        if not found:
            raise Impossible(f"the journal has no `{kind}` after the fault")
        return found[-1]


def number(value: Any, what: str) -> float:
    """A finite number of seconds, not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Impossible(f"{what} is {value!r}, not a number")
    if value < 0:
        raise Impossible(f"{what} is {value!r}, which cannot be negative")
    return float(value)


def count(value: Any, what: str) -> int:
    """How many: a whole number that is not negative, or the length of a list."""
    if isinstance(value, list | tuple):
        return len(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Impossible(f"{what} is {value!r}, not a count")
    return value


def listed(value: Any, what: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list | tuple):
        raise Impossible(f"{what} is {value!r}, not a list")
    return list(value)


def names(value: Any, what: str) -> tuple[str, ...]:
    """A list of names."""
    found = listed(value, what)
    if not all(isinstance(name, str) and name for name in found):
        raise Impossible(f"{what} is {value!r}, not a list of names")
    return tuple(found)


def when(event: Event) -> float:
    """When it happened, as a number that can be true."""
    return number(event.data.get("at", event.at), f"the time of `{event.kind}`")


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """An object with keys."""
    if not isinstance(value, Mapping):
        raise Impossible(f"{what} is {value!r}, not an object")
    return value


def seconds(value: float) -> str:
    """Seconds as a sentence has them: `0.4 s`, `71.2 s`, `90 s`."""
    return f"{value:.1f}".removesuffix(".0") + " s"


def plural(number_of: int, one: str, many: str = "") -> str:
    """`1 write`, `3 writes`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"
