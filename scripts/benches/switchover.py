"""scripts/bench switchover: planned moves in the lab, there and back, while users write by name.

Each move: the pause that the command tells, the longest time in which no write was acknowledged by name (the resolvers'
TTL is in it), and acknowledged writes that are missing afterwards. 0 may be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from resilience.adapters.journal_file import JournalFile  # noqa: E402 (the checkout goes first)
from resilience.cli.switchover import paused_s  # noqa: E402
from resilience.decide import plan_switchover, plan_up  # noqa: E402
from resilience.engine.drill import Drill, carry_out, prepare  # noqa: E402
from resilience.engine.observe import observe  # noqa: E402
from resilience.lab import Lab  # noqa: E402
from resilience.lab.material import prepare_material  # noqa: E402
from resilience.model import Event, Fleet  # noqa: E402
from resilience.ports import World  # noqa: E402
from resilience.render import Progress  # noqa: E402
from resilience.wire import Home, real_world  # noqa: E402

PAIR = ("acorn", "birch")


def main() -> int:
    """A lab, both sites hot, moves; 0 when no acknowledged write is missing."""
    parser = argparse.ArgumentParser(prog="scripts/bench switchover", description=__doc__)
    parser.add_argument("--moves", type=int, default=6, help="how many, there and back in turn (default 6)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="resilience-bench-") as directory:
        lab = Lab(Path(directory) / "lab")
        with Progress.for_people(silent=True) as progress:
            lab.up(progress.say)
            try:
                moves, missing, checked = _moves(lab, args.moves, args.seed, progress)
            finally:
                lab.down()
    return _told(moves, missing, checked, args)


def _moves(lab: Lab, count: int, seed: int, progress: Progress) -> tuple[list[dict[str, Any]], int, int]:
    home = Home(lab.fleet_file)
    prepare_material(lab.directory / "material", "small")
    declared = home.load()
    sites = tuple(replace(site, standby="hot") if site.name in PAIR else site for site in declared.sites)
    fleet = replace(declared, sites=sites)
    with real_world(home, fleet, JournalFile(lab.directory / "bench.jsonl")) as (world, users):
        drill = Drill(seed=seed)
        prepare(world, fleet, users, drill, progress.watch)
        users.begin(seed, drill.newcomers)
        moves = [_move(world, fleet, PAIR[number % 2], progress) for number in range(1, count + 1)]
        writes, _ = users.end()
        for move in moves:
            move["gap"] = _gap(sorted(float(write["at"]) for write in writes), move["began"], move["ended"])
            print(f"paused {move['paused']} s, by name {move['gap']:.1f} s; {move['steps']}", file=sys.stderr)
        missing, unchecked = world.outside.missing([str(write["id"]) for write in writes])
    return moves, len(missing), len(writes) - len(unchecked)


def _move(world: World, fleet: Fleet, to: str, progress: Progress) -> dict[str, Any]:
    """Bring the other site up as a hot standby, move, and let users write a while longer than a TTL."""
    carry_out(world, fleet, plan_up(fleet, observe(world, fleet), to), progress.watch)
    before, began = len(world.log.read()), world.clock.now()
    carry_out(world, fleet, plan_switchover(fleet, observe(world, fleet), to=to), progress.watch)
    done = world.log.read()[before:]
    world.clock.sleep(fleet.names.ttl_s)
    return {"paused": paused_s(done), "steps": _steps(done), "began": began, "ended": world.clock.now()}


def _gap(moments: list[float], began: float, ended: float) -> float:
    """The longest time between two acknowledged writes of this move, whatever it was for."""
    during = [at for at in moments if began <= at <= ended]
    return max((later - earlier for earlier, later in pairwise(during)), default=0.0)


def _steps(events: list[Event]) -> str:
    """The steps of the pause with their seconds."""
    begun = {event.data["id"]: event.at for event in events if event.kind == "step-started"}
    closed = next((event.at for event in events if event.kind == "closed"), 0.0)
    done = [event for event in events if event.kind == "step-done" and event.at >= closed]
    return ", ".join(f"{event.data['action']} {event.at - begun[event.data['id']]:.2f}" for event in done)


def _told(moves: list[dict[str, Any]], missing: int, checked: int, args: argparse.Namespace) -> int:
    figures: dict[str, float] = {"moves": len(moves), "acknowledged": checked, "missing": missing}
    print(f"{len(moves)} moves, {missing} of {checked} acknowledged writes missing")
    for row in ("paused", "gap"):
        known = [float(move[row]) for move in moves if move[row] is not None]
        figures[f"{row} s"] = round(statistics.median(known), 2)
        print(f"{row + ' s':12} median {statistics.median(known):6.1f}  min {min(known):6.1f}  max {max(known):6.1f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if not missing and checked else 3


if __name__ == "__main__":
    sys.exit(main())
