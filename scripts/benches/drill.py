"""scripts/bench drill: whole small drills, one after another; a table of their figures.

Times the command as a user runs it, caches warm, and reads the rest from each verdict.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
FIGURES = {
    "rto_s": ("rto", "measured_s"),
    "decide_s": ("rto", "decide_s"),
    "provision_s": ("rto", "provision_s"),
    "data_s": ("rto", "data_s"),
    "start_s": ("rto", "start_s"),
    "name_s": ("rto", "name_s"),
    "reprotected_s": ("reprotected_s",),
    "rpo_s": ("rpo", "measured_s"),
    "writes_acknowledged": ("rpo", "acknowledged"),
    "writes_lost": ("rpo", "lost"),
    "media_missing": ("media", "missing"),
    "takedowns_resurrected": ("takedowns", "resurrected"),
    "calls_to_the_dead": ("blackhole", "calls"),
}


def main() -> int:
    """Run the drills, print the table, leave the figures."""
    parser = argparse.ArgumentParser(prog="scripts/bench drill", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how many drills (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="leave {figure: median} there")
    args, more = parser.parse_known_args()
    runs = [_drill(number, more) for number in range(1, args.runs + 1)]
    figures = _medians(runs)
    _table(runs, figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if all(run["verdict"] == "met" for run in runs) else 3


def _drill(number: int, more: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="resilience-bench-") as directory:
        report = Path(directory) / "report"
        command = [str(CHECKOUT / "scripts" / "drill"), "--report", str(report), "--json", *more]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        file = report / "verdict.json"
        if not file.exists():
            sys.exit(f"drill {number} left no verdict (status {done.returncode}):\n{done.stderr[-3000:]}")
        verdict = json.loads(file.read_text())
    print(f"drill {number}: {verdict['verdict']}, {seconds:.1f} s", file=sys.stderr)
    return {"verdict": verdict["verdict"], "whole_command_s": seconds, **_read(verdict)}


def _read(verdict: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, path in FIGURES.items():
        value: Any = verdict
        for key in path:
            value = value[key]
        found[name] = value
    return found


def _medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    figures = {}
    for name in ("whole_command_s", *FIGURES):
        values = [run[name] for run in runs if run[name] is not None]
        if values:
            figures[name] = round(statistics.median(values), 3)
    return {**figures, "drills": len(runs), "drills_met": sum(r["verdict"] == "met" for r in runs)}


def _table(runs: list[dict[str, Any]], figures: dict[str, float]) -> None:
    print(f"{'figure':24}{'median':>10}{'min':>10}{'max':>10}")
    for name in ("whole_command_s", *FIGURES):
        values = [run[name] for run in runs if run[name] is not None]
        row = (figures[name], min(values), max(values)) if values else ("unknown",) * 3
        cells = (f"{v:10.2f}" if isinstance(v, float) else f"{v:>10}" for v in row)
        print(f"{name:24}{''.join(cells)}")
    print(f"{figures['drills_met']} of {figures['drills']} drills met their promise")


if __name__ == "__main__":
    sys.exit(main())
