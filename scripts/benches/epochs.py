"""scripts/bench epochs: the epoch protocol's model within larger bounds than the suite's; a table of states.

Each row is explored to its end: every interleaving within its bounds. A broken rule ends it, with the way there.
States are counted by their normal forms (tests/epochs/normal.py); with --full each counts by itself.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import structlog

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.epochs.explore import explore  # noqa: E402 - the checkout's tests are no package of the environment
from tests.epochs.model import Model  # noqa: E402
from tests.epochs.states import Bounds  # noqa: E402

ONE = Bounds(promoters=1, more=0, losses=0, ambiguous=0, restarts=0)
TWO = replace(ONE, promoters=2)
CHANGE = replace(ONE, change=True, sealed=True, at_once=True)
CHANGED = replace(CHANGE, chunks=0, held=1, sealed=False)
CROSSED = replace(CHANGE, chunks=0, more=1, promoters=2, sealed=False, crossed=True)
FIVE = replace(TWO, n=5, k=3, s=3, chunks=0, held=1, at_once=True)
ROWS = {
    "one promoter, everything goes wrong once": replace(ONE, losses=1, ambiguous=1, restarts=1),
    "two commits": replace(ONE, losses=1, restarts=1, chunks=2),
    "two promoters": TWO,
    "two promoters, a loss": replace(TWO, losses=1, at_once=True),
    "two promoters, a restart": replace(TWO, restarts=1, at_once=True),
    "two promoters, an ambiguous request": replace(TWO, ambiguous=1, at_once=True),
    "two promoters, both sites write, a loss": replace(TWO, chunks=0, held=1, more=1, losses=1, at_once=True),
    "two promoters, a loss, an ambiguous request": replace(TWO, losses=1, ambiguous=1, at_once=True),
    "an operator's cut, all goes wrong once": replace(ONE, cut=0, losses=1, ambiguous=1, restarts=1, at_once=True),
    "an operator's cut, another promoter": replace(TWO, cut=0, at_once=True),
    "a follower, a loss": replace(ONE, follower=True, losses=1, at_once=True),
    "five vaults, two losses": replace(ONE, n=5, k=3, s=3, losses=2),
    "five vaults, two promoters, a loss": replace(FIVE, losses=1),
    "five vaults, two promoters": replace(FIVE, chunks=1, held=0),
    "five vaults, two promoters, a loss, written": replace(FIVE, chunks=1, held=0, losses=1),
    "five vaults, two promoters, an ambiguous one": replace(FIVE, ambiguous=1),
    "another vault set, two promoters": replace(CHANGED, promoters=2),
    "another set of two vaults, two promoters": replace(CHANGED, n=2, k=1, promoters=2, more=1),
    "another vault set met a promoter, a loss": replace(CROSSED, losses=1),
    "another vault set, a loss": replace(CHANGE, losses=1),
    "another vault set, an ambiguous request": replace(CHANGE, ambiguous=1),
    "another set of two vaults, a restart": replace(CHANGE, n=2, k=1, restarts=1),
    "another set of two vaults, all write on": replace(CHANGE, n=2, k=1, more=1),
    "another set of two vaults, not sealed yet": replace(CHANGE, n=2, k=1, sealed=False),
}


def main() -> int:
    """Explore row by row, and print each as soon as it is done."""
    parser = argparse.ArgumentParser(prog="scripts/bench epochs", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {row: states} there")
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose name holds this")
    parser.add_argument("--full", action="store_true", help="tell states apart that have the same normal form")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(
        f"{'':42}{'n':>2}{'k':>2}{'s':>2}{'chunks':>8}{'losses':>7}{'ambig.':>7}{'restarts':>9}{'states':>10}{'steps':>11}{'s':>7}"
    )
    figures, broken = {}, False
    for name, bounds in ROWS.items():
        if args.only in name:
            figures[name], well = _row(name, bounds, full=args.full)
            broken = broken or not well
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 3 if broken else 0


def _row(name: str, b: Bounds, *, full: bool) -> tuple[int, bool]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="resilience-") as folder:
        found = explore(Model(b, Path(folder)), full=full)
    head = f"{name:42}{b.n:>2}{b.k:>2}{b.s:>2}{f'{b.held}+{b.chunks}+{b.more}':>8}{b.losses:>7}{b.ambiguous:>7}{b.restarts:>9}"
    print(f"{head}{found.states:>10}{found.steps:>11}{time.monotonic() - began:>7.0f}", flush=True)
    if found.violation:
        print(f"  BROKEN: {found.violation}\n    " + "\n    ".join(found.way))
    return found.states, found.violation is None


if __name__ == "__main__":
    sys.exit(main())
