"""`resilience status` as a person types it: what would be lost now, and what is critical, against the in-memory World."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.adapters.history_file import HistoryFile
from resilience.cli import context
from resilience.cli.outcome import HISTORY
from resilience.cli.status import SEALING_S, emptied
from resilience.decide.quorum import newest_epoch
from resilience.engine.observe import observe
from resilience.engine.verify import verify
from resilience.errors import BrokenChain, Exit, ResilienceError
from resilience.model import EpochRecord, Event, Fleet, Past, Reading, Unknown
from resilience.ports import World
from resilience.simulation import SimulatedUsers
from resilience.wire import Home
from tests.sim.stage import Stage, day_one
from tests.sim.test_verify import SEEN, Plane, copied

DAY = 86_400.0
HOUR = 3600.0
NONE: Mapping[str, Any] = {}


class Saying:
    """The simulated data plane, of whose ship more is told than its last words."""

    def __init__(self, inner: Any, told: Mapping[str, Any]) -> None:
        self.inner, self.told = inner, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> Saying:
        """The same with fewer vaults."""
        return Saying(self.inner.without(vaults, forced=forced), self.told)

    def status(self, site: Any, outputs: Any) -> Mapping[str, Any]:
        """Ship's last words, and what else is told."""
        return {**self.inner.status(site, outputs), **self.told}


class Desk:
    """An operator's machine: the command line, whose World is the one in memory, and its own journal and history."""

    def __init__(self) -> None:
        self.stage: Stage = day_one()
        self.world: World = self.stage.world
        self.fleet: Fleet = replace(self.stage.fleet, lab=False)

    @contextmanager
    def simulated(self, *_: object) -> Iterator[object]:
        """The World in memory."""
        yield self.world, SimulatedUsers(self.stage.state, self.fleet)

    def type(self, *words: str) -> Result:
        """A command."""
        return CliRunner().invoke(cli.app, words)

    def critical(self) -> list[str]:
        """What status calls critical; its exit status says the same, for people and for machines."""
        said, told = self.type("status", "--json"), self.type("status")
        found: list[str] = json.loads(said.output)["critical"]
        assert said.exit_code == told.exit_code == (Exit.MISSED if found else Exit.DONE), said.output
        assert [f"CRITICAL: {why}" for why in found] == [x for x in told.output.splitlines() if "CRITICAL" in x]
        return found

    def verified(self, *, primary: bool = True, but: Mapping[str, Any] = NONE) -> None:
        """Every vault gave the database back, and its rows were the primary's, where that was asked; `but` some gave something else."""
        ship = {"epoch": 1, "confirmed_lsn": "0/20", "vaults": {vault: {"lsn": "0/20"} for vault in self.world.vaults}}
        plane = Plane({**{vault: copied(vault) for vault in self.world.vaults}, **but}, [], ship, SEEN)
        verify(replace(self.world, plane=plane), self.fleet, primary=primary)  # type: ignore[arg-type]

    def protected(self) -> None:
        """A snapshot was taken."""
        done = {"step": "protect.snapshot.acorn", "action": "protect"}
        Home(Path("fleet.toml")).journal.append(Event(self.stage.state.now, "step-done", done))

    def later(self, seconds: float) -> None:
        """The same at a later time; nothing went on meanwhile."""
        self.stage.state.ms += round(seconds * 1000)

    def drilled(self, at: float) -> None:
        """A drill passed."""
        HistoryFile(Path("reports") / HISTORY).append({"at": at, "verdict": "met", "simulated": False})


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """A fleet, no lab, that runs at acorn."""
    made = Desk()
    monkeypatch.setattr(context, "real_world", made.simulated)
    monkeypatch.setattr(Home, "load", lambda _home: made.fleet)
    monkeypatch.setattr("time.time", lambda: made.stage.state.now)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return made


def test_critical_is_what_was_not_proven_within_the_declared_days(desk: Desk) -> None:
    """No drill, no verified restore, no snapshot: exit 3, each with what to type; all three there: exit 0; too old: 3 again."""
    drill, restore, snapshot = desk.critical()
    assert "No drill or rehearsal has passed yet" in drill
    assert restore == "no restore from birch, cedar, elm was verified within 7 days: resilience verify"
    assert snapshot == "no snapshot within two spacings of 60 minutes: resilience snapshot"
    desk.verified()
    desk.protected()
    desk.drilled(desk.stage.state.now)
    assert desk.critical() == []
    desk.later(2 * HOUR + 60)
    assert desk.critical() == [snapshot]
    desk.later(7 * DAY)
    desk.protected()
    drill, old = desk.critical()
    assert "The last drill that passed is 7.1 days old" in drill
    assert old == restore
    desk.drilled(desk.stage.state.now)
    desk.verified()
    assert desk.critical() == []
    desk.fleet = desk.stage.fleet
    desk.later(30 * DAY)
    assert desk.critical() == [], "a lab's promises are nobody's"


def test_a_vault_without_a_whole_snapshot_is_told_and_critical(desk: Desk) -> None:
    """One whose copy is not whole, and one that took none: `snapshot` names each and ends in 1, until the next is whole everywhere."""
    desk.stage.break_next("vault.elm.verify")
    desk.stage.state.hosts["acorn"].cut_off.add("birch")
    said = desk.type("snapshot")
    assert said.exit_code == Exit.ERROR, said.output
    assert "elm has no whole snapshot of acorn: The door vault.elm.verify broke" in said.output
    assert "birch has no whole snapshot of acorn: It does not answer." in said.output
    assert "cedar has no" not in said.output
    (told,) = [why for why in desk.critical() if "took no whole copy" in why]
    assert told.startswith(
        "birch, elm took no whole copy of the newest snapshot (birch: It does not answer; elm: The door"
    )
    desk.stage.state.hosts["acorn"].cut_off.clear()
    said = desk.type("snapshot", "--json")
    assert (said.exit_code, json.loads(said.stdout)) == (Exit.DONE, {"site": "acorn", "lacking": {}})
    assert [why for why in desk.critical() if "took no whole copy" in why] == []


def test_a_comparison_that_stays_unknown_is_critical(desk: Desk) -> None:
    """Verified every day, and never beside the primary: told with each reason, here and on another machine; once compared, no more."""
    desk.verified(primary=False)
    desk.drilled(desk.stage.state.now)
    desk.protected()
    (never,) = desk.critical()
    assert never.startswith("rows of birch, cedar, elm were not compared with the primary's within 7 days")
    assert "(birch, cedar, elm: the primary was left out): see to that, then resilience verify" in never
    desk.verified()
    assert desk.critical() == []
    for _ in range(5):
        desk.later(DAY)
        desk.verified(primary=False)
    desk.protected()
    assert desk.critical() == [], "five days are fewer than seven, and all later ones without it change nothing"
    assert desk.type("status").output.count("rows compared 720") == 3, "minutes ago"
    desk.world = desk.stage.other_operator().world
    assert desk.critical() == [], "what was signed five proofs ago is found from another machine"
    desk.world = desk.stage.world
    desk.later(3 * DAY)
    desk.verified(primary=False)
    desk.protected()
    desk.drilled(desk.stage.state.now)
    assert desk.critical() == [never]
    desk.verified()
    assert desk.critical() == []


def test_a_vault_that_failed_its_newest_verification_is_critical(desk: Desk) -> None:
    """Proven yesterday, not whole an hour ago: told with what was found, until it is proven again, here or by another machine."""
    desk.verified()
    desk.later(DAY)
    desk.drilled(desk.stage.state.now)
    desk.protected()
    desk.verified(but={"cedar": BrokenChain("WAL from 0/3 to 0/4", "0/3", "Bring it back.")})
    desk.later(HOUR)
    (said,) = desk.critical()
    found = "The chain is broken: WAL from 0/3 to 0/4 is in no vault"
    assert said == f"cedar failed the newest verification (cedar: {found}): see to that, then resilience verify"
    shown = desk.type("status").output
    assert "FAILED 60 min" in shown
    seen = json.loads(desk.type("status", "--json").output)["vaults"]
    assert {name: bool(vault["failed"]) for name, vault in seen.items()} == {
        "birch": False,
        "cedar": True,
        "elm": False,
    }
    here, desk.world = desk.world, desk.stage.other_operator().world
    desk.verified()
    desk.world = here
    assert desk.critical() == [], "what another machine proved and signed since is believed"
    desk.later(60)
    desk.verified(but={"elm": BrokenChain("WAL from 0/5", "0/5", "Bring it back.")})
    assert desk.critical() != []
    desk.verified()
    assert desk.critical() == []


def test_a_vault_that_was_emptied_is_critical_until_it_was_filled(desk: Desk) -> None:
    """It answers, and shows no epoch: told with what to type, and typed. In a lab, or where it says nothing, it is not told."""
    desk.verified()
    desk.drilled(desk.stage.state.now)
    desk.later(120)
    desk.protected()
    assert desk.critical() == []
    empty(desk, "elm")
    (said,) = desk.critical()
    assert said.startswith("epoch 1 is gone from elm, of its set (elm shows none)")
    assert said.endswith("resilience snapshot, then resilience catch-up elm")
    live, desk.fleet = desk.fleet, desk.stage.fleet
    assert desk.critical() == []
    desk.fleet = live
    for words in (("snapshot",), ("catch-up", "elm")):
        typed = desk.type(*words)
        assert typed.exit_code == Exit.DONE, typed.output
    assert desk.critical() == []
    desk.verified()
    assert desk.critical() == []


def test_all_vaults_emptied_is_no_fleet_that_never_began(desk: Desk) -> None:
    """This machine knows that an epoch was sealed."""
    desk.verified()
    desk.drilled(desk.stage.state.now)
    desk.protected()
    for name in ("birch", "cedar", "elm"):
        empty(desk, name)
    assert [why for why in desk.critical() if why.startswith("epoch 1 was sealed, as this machine's journal says")]


def test_which_vaults_lost_an_epoch(desk: Desk) -> None:
    """Only those of the newest epoch's set that answer, some time after the seal; a fleet that has none yet lost none."""
    seen = observe(desk.world, desk.fleet)
    epoch = newest_epoch(seen)
    assert epoch is not None
    old, newer = replace(epoch, vaults=("birch", "cedar", "elm")), replace(epoch, number=2, vaults=("birch", "elm"))
    later = epoch.sealed_at + SEALING_S

    def told(at: float, **shown: Reading[EpochRecord | None]) -> str:
        vaults = {name: replace(seen.vaults[name], epoch=epoch) for name, epoch in shown.items()}
        return emptied(desk.fleet, replace(seen, at=at, vaults=vaults, settled=""))

    assert told(later, birch=newer, elm=newer, cedar=old) == "", "it is not in the set any more"
    assert told(later, birch=newer, elm=Unknown("silent"), cedar=None) == ""
    assert "(elm shows epoch 1)" in told(later, birch=newer, elm=old, cedar=None)
    assert told(later - 1, birch=newer, elm=old, cedar=old) == "", "it is being sealed"
    assert (
        emptied(desk.fleet, replace(seen, past=Past(), vaults={"elm": replace(seen.vaults["elm"], epoch=None)})) == ""
    )


def empty(desk: Desk, name: str) -> None:
    """Somebody removes everything."""
    held = desk.stage.state.vaults[name]
    for part in (held.objects, held.chains, held.pictures, held.snapshots):
        part.clear()


def test_a_primary_that_says_nothing_is_critical(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host does not answer: what would be lost is unknown, and no timer may call that well."""
    desk.verified()
    desk.drilled(desk.stage.state.now)
    desk.protected()
    assert desk.critical() == []

    def silent(*_: object) -> Mapping[str, Any]:
        raise ResilienceError("acorn-1 does not answer", "timed out", "Look at it.")

    monkeypatch.setattr(type(desk.world.plane), "status", silent)
    (said,) = desk.critical()
    assert said.startswith("acorn may write, and what it ships is not known (")
    desk.fleet = desk.stage.fleet
    assert desk.critical() == [], "a lab's promises are nobody's"


def test_a_primary_that_does_not_serve_is_critical_though_its_ship_speaks(desk: Desk) -> None:
    """Ship goes on where the app is not ready: how far the vaults are is shown, and it is well for nobody."""
    desk.verified()
    desk.drilled(desk.stage.state.now)
    desk.protected()
    desk.stage.state.hosts["acorn"].serving = False
    assert desk.critical() == ["acorn may write and does not serve: resilience plan shows the way on"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"alarms": ["unprotected: no vault has the WAL from 0/3 to 0/4"]}, "acorn: unprotected: no vault has the WAL"),
        ({"degraded_since": 1.7e9}, "acorn: commits count as async since"),
        ({"writes_stopped_since": 1.7e9}, "acorn: nobody may write since"),
        ({"stopped": "Two histories part at 0/3."}, "acorn: this standby is given nothing more: Two histories part"),
        ({"next_epoch_error": "Missing: one opening."}, "acorn: this standby can't tell what comes next: Missing: one"),
    ],
)
def test_an_alarm_is_critical(desk: Desk, told: Mapping[str, Any], said: str) -> None:
    """Whatever ship says in red ends with exit status 3, as long as it stands; in a lab it is only shown."""
    desk.verified()
    desk.protected()
    desk.drilled(desk.stage.state.now)
    quiet = desk.world
    desk.world = replace(quiet, plane=Saying(quiet.plane, told))
    (why,) = desk.critical()
    assert why.startswith(said)
    live, desk.fleet = desk.fleet, desk.stage.fleet
    assert desk.critical() == []
    assert said in desk.type("status").output
    desk.fleet, desk.world = live, quiet
    assert desk.critical() == []


def test_what_would_be_lost_now(desk: Desk) -> None:
    """Nothing while ship keeps up; where it is silent, what piled up since: seconds, transactions, objects, in the plan too."""
    assert "yes      sign-ups  0 s\n" in desk.type("status").output
    risk = {"seconds": 3601.2, "bytes": 9, "transactions": 12, "objects": 2}
    desk.world = replace(desk.world, plane=Saying(desk.world.plane, {"at_risk": risk}))
    assert "60 min 1 s, 12 transactions, 2 objects" in desk.type("status").output
    planned = desk.type("switchover", "--to", "birch").output
    assert "The vaults are 3601.2 s behind now." in " ".join(planned.split()), planned
