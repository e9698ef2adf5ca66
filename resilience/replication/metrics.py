"""Metrics in Prometheus' text form, one file a program: what node_exporter's textfile collector reads.

/run/resilience/metrics/<program>.prom
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PREFIX = "resilience_"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value with its labels; `suffix` is set for a histogram's parts."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric and its samples; those that are not known are left out, never written as 0."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    samples: tuple[Sample, ...]


class Meter:
    """Counts one vault's PUTs: how many, how large, how long they took, and how they failed."""

    def __init__(self) -> None:
        self.puts = 0
        self.bytes = 0
        self.seconds = 0.0
        self.errors: Counter[str] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._lock = threading.Lock()

    @contextmanager
    def put(self, size: int) -> Iterator[None]:
        """Times one PUT that succeeds."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        with self._lock:
            self.puts += 1
            self.bytes += size
            self.seconds += took
            for index, bound in enumerate(BUCKETS):
                self._buckets[index] += took <= bound

    def failed(self, error: BaseException) -> None:
        """Counts a failure by its class."""
        with self._lock:
            self.errors[error_class(error)] += 1

    def histogram(self, labels: Mapping[str, str]) -> list[Sample]:
        """Put latency as a histogram's samples."""
        with self._lock:
            counted = zip(BUCKETS, self._buckets, strict=True)
            found = [Sample(count, {**labels, "le": str(bound)}, "_bucket") for bound, count in counted]
            found.append(Sample(self.puts, {**labels, "le": "+Inf"}, "_bucket"))
            return [*found, Sample(self.seconds, labels, "_sum"), Sample(self.puts, labels, "_count")]


def error_class(error: BaseException) -> str:
    """A store's own code where it gave one, else the kind of error; never a message, which may hold names."""
    cause = error.__cause__ or error
    response = getattr(cause, "response", None)
    if isinstance(response, Mapping):
        details = response.get("Error")
        code = details.get("Code") if isinstance(details, Mapping) else None
        if isinstance(code, str) and code.isalnum():
            return code
    return type(cause).__name__


def text(metrics: Iterable[Metric]) -> str:
    """The metrics in Prometheus' text form."""
    lines = []
    for metric in metrics:
        if metric.samples:
            name = PREFIX + metric.name
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
            lines += [f"{name}{s.suffix}{_labels(s.labels)} {_number(s.value)}" for s in metric.samples]
    return "\n".join(lines) + "\n"


def write(run: Path, program: str, metrics: Iterable[Metric]) -> None:
    """Replace a program's metrics at once."""
    path = run / "metrics" / f"{program}.prom"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text(metrics))
    new.replace(path)


def _number(value: float) -> str:
    """Whole numbers with all their digits: a position has more of them than a float is rounded to."""
    return str(int(value)) if float(value).is_integer() else f"{value:.10g}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
