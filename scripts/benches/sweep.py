"""scripts/bench sweep: every call on every door of every plan fails once, by an error and by a killed process.

  --only TEXT            plans whose name holds this
  --durability D         async or quorum; both where absent
  --how H                error or killed; both where absent

Simulated. Where the command stopped it is run again, and must end well with nothing lost. What was found is appended to
docs/sweep.jsonl, one dated line a call; the suite breaks sixteen of each plan's.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))
from resilience.model.fleet import Durability  # noqa: E402
from tests.sim.in_turn import at_once, in_turn  # noqa: E402 - the checkout's tests are no package of the environment
from tests.sim.plans import PLANS  # noqa: E402
from tests.sim.sweep import How, breaks, tried  # noqa: E402

KEPT = CHECKOUT / "docs" / "sweep.jsonl"
SHARE = 40
"""Calls that a process breaks before it tells."""
TOLD = 3
"""Of so many that went wrong it says which, one part after the other; one fault shows at many calls."""


@dataclass(frozen=True)
class Part:
    """Some calls of one plan, from the n-th on."""

    name: str
    how: How
    durability: Durability
    first: int


@dataclass
class Found:
    """What came of some calls."""

    part: Part
    broken: int = 0
    stopped: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Break them all, append what came of it; 0 where every command ended well."""
    parser = argparse.ArgumentParser(prog="scripts/bench sweep", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="")
    parser.add_argument("--durability", choices=("async", "quorum"))
    parser.add_argument("--how", choices=("error", "killed"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave the figures there")
    args = parser.parse_args()
    began, found = time.monotonic(), []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for one in pool.map(_part, _parts(args)):
            found.append(one)
            for wrong in one.wrong[:TOLD]:
                print(wrong, file=sys.stderr, flush=True)
    line = _line(args, found, time.monotonic() - began)
    with KEPT.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))
    if args.json:
        args.json.write_text(json.dumps({"broken": line["broken"], "wrong": line["wrong"]}, indent=2) + "\n")
    return 0 if found and not line["wrong"] else 3


def _parts(args: argparse.Namespace) -> Iterator[Part]:
    hows: tuple[How, ...] = (args.how,) if args.how else ("error", "killed")
    durabilities: tuple[Durability, ...] = (args.durability,) if args.durability else ("async", "quorum")
    for name, how, durability in product((n for n in PLANS if args.only in n), hows, durabilities):
        with in_turn(), at_once():
            count = sum(1 for _ in breaks(PLANS[name], how, durability))
        yield from (Part(name, how, durability, first) for first in range(0, count, SHARE))


def _part(part: Part) -> Found:
    found = Found(part)
    with in_turn(), at_once():
        swept = PLANS[part.name]
        for planned in list(breaks(swept, part.how, part.durability))[part.first : part.first + SHARE]:
            found.broken += 1
            try:
                found.stopped += tried(swept, planned, part.durability).stopped
            except Exception as error:  # noqa: BLE001 - the others are broken all the same
                found.wrong.append(f"{part.name}, {part.durability}, {planned}: {type(error).__name__}: {error}")
    return found


def _line(args: argparse.Namespace, found: list[Found], took: float) -> dict[str, Any]:
    words = [f"--{key} {shlex.quote(value)}" for key in ("only", "durability", "how") if (value := getattr(args, key))]
    broken: Counter[str] = Counter()
    for one in found:
        broken[one.part.name] += one.broken
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "command": " ".join(["scripts/bench sweep", *words]),
        "broken": sum(broken.values()),
        "run_again": sum(one.stopped for one in found),
        "plans": dict(broken),
        "wrong": sum(len(one.wrong) for one in found),
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
