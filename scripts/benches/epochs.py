"""scripts/bench epochs: the epoch protocol's model within larger bounds than the suite's; a table of states.

Each row is explored to its end: every interleaving within its bounds. A broken rule ends it, with the way there.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.epochs.explore import explore  # noqa: E402 - the checkout's tests are no package of the environment
from tests.epochs.model import Model  # noqa: E402
from tests.epochs.states import Bounds  # noqa: E402

ROWS = {
    "one promoter, everything goes wrong once": Bounds(promoters=1, more=0),
    "the promoted site writes on": Bounds(promoters=1, ambiguous=0),
    "two commits": Bounds(promoters=1, more=0, chunks=2, ambiguous=0),
    "two promoters": Bounds(promoters=2, more=0, losses=0, ambiguous=0, restarts=0),
    "two promoters, a loss": Bounds(promoters=2, more=0, ambiguous=0, restarts=0, at_once=True),
    "two promoters, a restart": Bounds(promoters=2, more=0, losses=0, ambiguous=0, at_once=True),
    "an operator's cut, all goes wrong once": Bounds(promoters=1, more=0, cut=0, at_once=True),
    "an operator's cut, another promoter": Bounds(more=0, losses=0, ambiguous=0, restarts=0, cut=0, at_once=True),
    "a follower, a loss": Bounds(promoters=1, more=0, ambiguous=0, restarts=0, follower=True, at_once=True),
    "five vaults, two losses": Bounds(n=5, k=3, s=3, promoters=1, more=0, losses=2, ambiguous=0, restarts=0),
}


def main() -> int:
    """Explore row by row, and print each as soon as it is done."""
    parser = argparse.ArgumentParser(prog="scripts/bench epochs", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {row: states} there")
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose name holds this")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(
        f"{'':42}{'n':>2}{'k':>2}{'s':>2}{'chunks':>8}{'losses':>7}{'ambig.':>7}{'restarts':>9}{'states':>10}{'steps':>11}{'s':>7}"
    )
    figures, broken = {}, False
    for name, bounds in ROWS.items():
        if args.only in name:
            figures[name], well = _row(name, bounds)
            broken = broken or not well
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 3 if broken else 0


def _row(name: str, b: Bounds) -> tuple[int, bool]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resilience-") as folder:
        found = explore(Model(b, Path(folder)))
    head = f"{name:42}{b.n:>2}{b.k:>2}{b.s:>2}{f'{b.chunks}+{b.more}':>8}{b.losses:>7}{b.ambiguous:>7}{b.restarts:>9}"
    print(f"{head}{found.states:>10}{found.steps:>11}{time.monotonic() - began:>7.0f}", flush=True)
    if found.violation:
        print(f"  BROKEN: {found.violation}\n    " + "\n    ".join(found.way))
    return found.states, found.violation is None


if __name__ == "__main__":
    sys.exit(main())
