"""scripts/bench failover: drills on a lab that was filled once, their medians; and failovers by their seed, simulated.

  --runs N --size S --standby X --durability D   N drills, each phase's median, against the promise
  --seeds N                                      N more simulated failovers, each of another fleet, from the last one on

What the seeds showed is appended to docs/failover-seeds.jsonl, one dated line a call. `--keep DIR` keeps the lab.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))
from tests.sim.in_turn import at_once, in_turn  # noqa: E402
from tests.sim.seeded import SERVED, Ended, fail_over  # noqa: E402

SEEDS = CHECKOUT / "docs" / "failover-seeds.jsonl"
PHASES = ("measured_s", "decide_s", "provision_s", "data_s", "start_s", "name_s")
MOMENTS = {
    "decided to promoted s": "data.recover.{site}",
    "decided to started s": "start.start.{site}",
    "decided to writes s": "start.open.{site}.writes",
}
FLOOR = ("provision.provision.{site}", "provision.shape.{site}", "data.restore.{site}", "data.recover.{site}")
"""A host that boots, packages, restic, Postgres' replay: none of it is ours to make faster. Each as this drill saw it, beside its other work."""
Figures = dict[str, float]


def main() -> int:
    """Drill, live seeds, print; 0 when every drill met its promise and no seed lost an acknowledged write."""
    parser = argparse.ArgumentParser(prog="scripts/bench failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", default="small")
    parser.add_argument("--standby", default="cold")
    parser.add_argument("--durability", default="async")
    parser.add_argument("--fault", default="terminate")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="where the filled lab is, or is to be kept")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures: Figures = {}
    good = True
    if args.runs:
        good &= _drills(args, figures)
    if args.seeds:
        good &= _seeds(args.seeds, figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if good else 3


def _drills(args: argparse.Namespace, figures: Figures) -> bool:
    kind = ["--size", args.size, "--standby", args.standby, "--durability", args.durability]
    with tempfile.TemporaryDirectory(prefix="resilience-bench-") as reports:
        kept = (args.keep or Path(reports) / "labs" / "aside").absolute()
        kept.parent.mkdir(parents=True, exist_ok=True)
        place = kept.parent  # a lab that is kept comes back only where it was made
        if not (kept / "aside.json").exists():
            _resilience(place, "drill", *kind, "--set-aside", str(kept), "--json")
        if not (kept / "aside.json").exists():
            print("no lab could be filled; what went wrong is said above", file=sys.stderr)
            return False
        runs = []
        for number in range(1, args.runs + 1):
            report = Path(reports) / f"report-{number}"
            words = ["--fault", args.fault, "--seed", str(number), "--from", str(kept), "--report", str(report)]
            began = time.monotonic()
            _resilience(place, "drill", *kind, *words, "--json")
            runs.append({**json.loads((report / "verdict.json").read_text()), **_journal(report)})
            print(f"drill {number}: {runs[-1]['verdict']}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    name = f"{args.size} {args.standby} {args.durability} {args.fault}"
    _table(name, runs, figures)
    return all(run["verdict"] == "met" for run in runs)


def _resilience(place: Path, *words: str) -> None:
    """A command of ours; a drill's own exit status is its verdict's, so only a missing verdict is an error here."""
    program = [sys.executable, "-c", "from resilience.cli import main; main()"]
    subprocess.run([*program, *words], check=False, stdout=subprocess.DEVNULL, cwd=place)


def _journal(report: Path) -> dict[str, float]:
    """Seconds from the decision until the app is there, and the floor: what other people's programs took meanwhile."""
    lines = [json.loads(line) for line in (report / "journal.jsonl").read_text().splitlines()]
    fault = next((n for n, line in enumerate(lines) if line["kind"] == "fault"), len(lines))  # it may end before
    after = lines[fault:]
    decided = next((line["at"] for line in after if line["kind"] == "decided"), 0.0)
    begun = {line["id"]: line["at"] for line in after if line["kind"] == "step-started"}
    done = {line["id"]: line for line in after if line["kind"] == "step-done"}
    site = next((line["subject"] for line in done.values() if line["action"] == "recover"), "")
    moments = {row: step.format(site=site) for row, step in MOMENTS.items()}
    found = {row: done[step]["at"] - decided for row, step in moments.items() if step in done}
    boot, shape, restore, recover = (done.get(step.format(site=site)) for step in FLOOR)
    if boot and shape and restore and recover and restore["facts"]["restic_s"]:  # a hot standby has no such floor
        parts = shape["facts"]["supplies"].get("parts", {}).values()
        found["floor: boot"] = boot["at"] - begun[boot["id"]]
        unpacked = max((part["install_s"] for part in parts), default=0.0)  # side by side
        found["floor: install"] = unpacked + shape["facts"]["configure"]["seconds"]
        found["floor: restic"] = restore["facts"]["restic_s"]
        found["floor: replay"] = recover["facts"]["replay_s"]
    return found


def _ratio(run: dict[str, Any]) -> float | None:
    floor = sum(value for key, value in run.items() if key.startswith("floor:"))
    took = run["rto"]["measured_s"]
    return (took - run["rto"]["ttl_s"]) / floor if floor and took else None


def _table(name: str, runs: list[dict[str, Any]], figures: Figures) -> None:
    rows: dict[str, list[float | None]] = {f"rto {phase}": [r["rto"][phase] for r in runs] for phase in PHASES}
    rows["protected again s"] = [r["reprotected_s"] for r in runs]
    rows["writes lost"] = [r["rpo"]["lost"] for r in runs]
    rows["oldest lost s"] = [r["rpo"]["measured_s"] for r in runs]
    rows["calls to the dead"] = [r["blackhole"]["calls"] for r in runs]
    rows["old site took"] = [r["fence"]["accepted"] for r in runs]
    rows["takedowns undone"] = [r["takedowns"]["resurrected"] for r in runs]
    rows |= {
        row: [r.get(row) for r in runs]
        for row in dict.fromkeys(key for r in runs for key in r if ":" in key or key in MOMENTS)
    }
    rows["rto less TTL / floor"] = [_ratio(run) for run in runs]
    print(f"{name}: {sum(r['verdict'] == 'met' for r in runs)} of {len(runs)} met")
    print(f"{'figure':22}{'median':>10}{'min':>10}{'max':>10}{'known':>7}")
    for row, values in rows.items():
        known = [value for value in values if value is not None]
        if not known:
            print(f"{row:22}{'unknown':>10}")
            continue
        figures[f"{name} {row}"] = round(statistics.median(known), 3)
        print(f"{row:22}{statistics.median(known):10.2f}{min(known):10.2f}{max(known):10.2f}{len(known):7}")
    figures[f"{name} met"] = sum(r["verdict"] == "met" for r in runs)
    figures[f"{name} drills"] = len(runs)


def _seeds(count: int, figures: Figures) -> bool:
    """Go on at the seed after the last that was lived."""
    lived = [json.loads(line) for line in SEEDS.read_text().splitlines()] if SEEDS.exists() else []
    first = max((line["last"] for line in lived), default=-1) + 1
    began = time.monotonic()
    with in_turn(), at_once():
        ended = [fail_over(seed) for seed in range(first, first + count)]
    line = _line(ended, time.monotonic() - began)
    with SEEDS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))
    figures["seeds"] = count
    figures["seeds missing"] = line["missing"]
    figures["seeds called dead"] = line["called_dead"]
    return bool(line["missing"] == 0 and line["called_dead"] == 0)


def _line(ended: list[Ended], took: float) -> dict[str, Any]:
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "command": f"scripts/bench failover --runs 0 --seeds {len(ended)}",
        "first": ended[0].seed,
        "last": ended[-1].seed,
        "served": sum(one.outcome == SERVED for one in ended),
        "stopped": Counter(one.why.split(":")[0] for one in ended if one.outcome != SERVED),
        "fleets": Counter(trait for one in ended for trait in one.fleet),
        "faults": Counter(one.fault for one in ended),
        "resumed": sum(one.resumed for one in ended),
        "acknowledged": sum(one.acknowledged for one in ended),
        "missing": sum(one.missing for one in ended),
        "async_lost": sum(one.async_lost for one in ended),
        "called_dead": sum(one.called_dead for one in ended),
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
