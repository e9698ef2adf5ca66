"""Progress of long work: live in a terminal, plain lines elsewhere, silent where machines read.

It goes to standard error, so that standard output holds the answer alone. Pass `Progress.watch` where an
engine wants somebody to watch its events, and use `Progress.stage` around work that has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress as Live
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from resilience.model import Event
from resilience.render import words
from resilience.render.text import console as terminal


@dataclass(frozen=True, slots=True)
class _Running:
    """What is going on, since when, and where it is shown."""

    name: str
    began: float
    task: TaskID | None


class Progress:
    """Says what is being done, how long that usually takes, and how long it took."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        console: Console | None = None,
        usual: Mapping[str, float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or terminal(error=True)
        self._quiet = quiet
        self._usual = dict(usual or {})
        self._now = now
        self._running: dict[str, _Running] = {}
        self._live: Live | None = None

    @classmethod
    def for_people(cls, *, silent: bool = False, usual: Mapping[str, float] | None = None) -> Self:
        """On standard error; `silent` where the command was asked for JSON."""
        return cls(quiet=silent, usual=usual)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._live = Live(*columns, console=self._console, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @contextmanager
    def stage(self, name: str, usual_seconds: float | None = None) -> Iterator[None]:
        """One part of the work; its end is said with the seconds it took, or that it failed."""
        if usual_seconds is not None:
            self._usual[name] = usual_seconds
        self._begin(name, name, self._now(), announce=True)
        try:
            yield
        except BaseException:
            self._end(name, "failed", self._now())
            raise
        self._end(name, "done", self._now())

    def say(self, line: str) -> None:
        """One plain line about what just happened."""
        if not self._quiet:
            self._console.print(Text(line), soft_wrap=True)

    def watch(self, event: Event) -> None:
        """Follow a journal as it is written: stages and steps."""
        data, at = event.data, event.when
        stage, step = f"stage {data.get('stage')}", f"step {data.get('id')}"
        match event.kind:
            case "stage-started":
                self._begin(stage, str(data.get("stage")), at, announce=True)
            case "stage-done":
                self._end(stage, "done", at)
            case "step-started":
                self._begin(step, f"{data.get('action', '')} {data.get('subject', '')}".strip(), at, announce=False)
            case "step-done":
                self._end(step, "done", at)
                for line in data.get("facts", {}).get("not_obeyed", ()):
                    self.say(f"{'':9}  {line}")
            case "step-failed":
                self._end(step, f"failed: {data.get('what', '')}", at)
                for key in ("why", "next"):  # at once: what goes on beside it may take long
                    if data.get(key):
                        self.say(f"{'':9}  {data[key]}")
            case "fault":
                self.say(f"fault: {data.get('fault')} of {', '.join(map(str, data.get('vendors', ())))}")
            case _:
                pass

    def _begin(self, key: str, name: str, at: float, *, announce: bool) -> None:
        usual = self._usual.get(name)
        said = name if usual is None else f"{name} (usually {words.seconds(usual)})"
        task = self._live.add_task(said, total=None) if self._live is not None else None
        self._running[key] = _Running(name, at, task)
        if announce and self._live is None:
            self.say(f"{said} ...")

    def _end(self, key: str, how: str, at: float) -> None:
        running = self._running.pop(key, None)
        if running is None:
            self.say(f"{key}: {how}")
            return
        if self._live is not None and running.task is not None:
            self._live.remove_task(running.task)
        self.say(f"{words.measured(max(0.0, at - running.began)):>9}  {running.name}: {how}")
