"""Runbooks: one page each, and every command on them does on the day what the page says, against the in-memory World."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.adapters import kit_first, kit_shares
from resilience.cli import context
from resilience.errors import ResilienceError, UsageError
from resilience.model import Registration
from resilience.simulation import SimulatedGround, SimulatedUsers, simulated_fleet
from resilience.wire import Home
from tests.sim.stage import Stage, attempt, day_one

FOLDER = Path(__file__).parents[2] / "runbooks"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
LONGEST = 60
"""Lines that fit one printed page."""
LETTER = "The account ends within 30 hours. It is about http://{host}/@ann/12 and http://{host}/@bob/13.\n"


def inject(stage: Stage, fault: str, vendor: str) -> None:
    """What the page is for."""
    SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet)).inject(fault, (vendor,))


def relented(stage: Stage) -> None:
    """The vendor left, the app went elsewhere, the vendor is back."""
    inject(stage, "terminate", "acorn")
    stage.operator.failover()
    stage.state.revive("acorn")


def bad_write(stage: Stage) -> None:
    """Good posts, then bad ones, which every vault holds."""
    stage.state.pass_time(60.0)
    stage.post(10)
    stage.state.pass_time(5.0)


def half_way(stage: Stage) -> None:
    """The laptop went in the middle of a failover, its journal with it; what it put last is a sealed epoch and half a restore.

    The second copy is a sealed kit, and what three of five people have typed off their paper.
    """
    inject(stage, "terminate", "acorn")
    stage.break_next("plane.birch.restore", how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    stage.world = stage.other_operator().world
    with TemporaryDirectory() as folder:
        kit_first.make(Path(folder) / "kit", simulated_fleet())
        kit_shares.split(Path(folder) / "kit", Path(folder) / "out", 5, 3)
        for name in ("kit.age", "share-1.txt", "share-2.txt", "share-3.txt"):
            Path(name).write_bytes((Path(folder) / "out" / name).read_bytes())


def registrar_gone(stage: Stage) -> None:
    """Nobody answers where the domain is registered; the delegation stands."""

    def silent() -> Registration:
        raise ResilienceError("The registry does not tell how the domain stands.", "ConnectTimeout", "Look yourself.")

    names = replace(stage.fleet.names, registrar="registry", rdap="https://rdap.invalid/domain/plaza.test")
    stage.fleet = replace(stage.fleet, names=names)
    stage.world = replace(stage.world, registration=silent)


def not_whole(stage: Stage) -> None:
    """A snapshot that elm did not give back."""
    stage.break_next("vault.elm.verify")
    stage.operator.snapshot()


def emptied(stage: Stage) -> None:
    """Somebody removed everything that elm held."""
    stage.state.pass_time(120.0)
    held = stage.state.vaults["elm"]
    for part in (held.objects, held.chains, held.pictures, held.snapshots):
        part.clear()


DAYS: dict[str, Callable[[Stage], None]] = {
    "terminated-without-notice": lambda stage: inject(stage, "terminate", "acorn"),
    "vendor-deleted-everything": lambda stage: inject(stage, "delete", "acorn"),
    "control-plane-gone": lambda stage: inject(stage, "control-plane", "acorn"),
    "vault-vendor-gone": lambda stage: inject(stage, "terminate", "elm"),
    "snapshot-not-whole": not_whole,
    "vault-emptied": emptied,
    "dns-vendor-gone": lambda stage: inject(stage, "terminate", "dover"),
    "vendor-relents": relented,
    "notice-received": lambda _stage: None,
    "order-received": lambda _stage: None,
    "registrar-gone": registrar_gone,
    "operators-laptop-gone": half_way,
    "credentials-stolen": lambda stage: kit_first.make(Path("kit"), stage.fleet),
    "bad-write": bad_write,
    "texts-without-keys": lambda _stage: None,
}
ENDS = {
    "terminated-without-notice",
    "vendor-deleted-everything",
    "control-plane-gone",
    "notice-received",
    "operators-laptop-gone",
    "texts-without-keys",
}
"""Pages after which users are at birch."""


def commands(page: str) -> list[str]:
    """Every line of every block of commands, in order."""
    text = (FOLDER / f"{page}.md").read_text()
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


class Person:
    """Somebody who types what the page says, and fills in what the command before printed."""

    def __init__(self, letter: Path, now: float, site: Callable[[], str]) -> None:
        self.letter = letter
        self._site = site
        self.moment = datetime.fromtimestamp(now - 30, UTC).isoformat()
        self.digest = ""
        self.hazards: list[str] = []

    def type(self, command: str) -> Result:
        """One command; it ends well, or shows a plan that waits for its digest."""
        accepted = " ".join(f"--accept {name}" for name in self.hazards)
        filled = command.replace("DIGEST", self.digest).replace("--accept HAZARD", accepted)
        for word, meant in {
            "LETTER": self.letter,
            "VAULT": "elm",
            "SITE": self._site(),
            "TIME": self.moment,
            "EPOCH": 1,
            "COPY": "copy",
        }.items():
            filled = filled.replace(word, str(meant))
        program, *words = shlex.split(filled)
        assert program == "resilience", command
        said = CliRunner().invoke(cli.app, words)
        shown = isinstance(said.exception, UsageError) and said.exception.what == "No plan was approved."
        assert said.exit_code == 0 or (shown and "DIGEST" not in command), (command, said.output, said.exception)
        self._note(said.output + str(said.exception or ""))
        return said

    def _note(self, text: str) -> None:
        if found := re.findall(r"\b[0-9a-f]{12}\b", text):
            self.digest = found[-1]
            self.hazards = re.findall(r"with --accept ([a-z-]+)", " ".join(text.split()))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fleet that runs at acorn; the command line's World is the one in memory."""
    made = day_one()

    @contextmanager
    def simulated(*_: object) -> Iterator[object]:
        yield made.world, SimulatedUsers(made.state, made.fleet)

    monkeypatch.setattr(context, "real_world", simulated)
    monkeypatch.setattr(Home, "load", lambda _home: made.fleet)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return made


def test_every_page_has_a_day_to_be_tried_on() -> None:
    """No page without a test, and the list of pages names each."""
    assert sorted(DAYS) == PAGES
    listed = (FOLDER / "README.md").read_text()
    assert [page for page in PAGES if f"({page}.md)" not in listed] == []


@pytest.mark.parametrize("page", PAGES)
def test_it_is_one_page_with_commands(page: str) -> None:
    """Short enough for a person under stress; links lead to pages that are there."""
    text = (FOLDER / f"{page}.md").read_text()
    assert len(text.splitlines()) <= LONGEST
    assert commands(page)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (FOLDER / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_every_command_works_on_the_day(stage: Stage, tmp_path: Path, page: str) -> None:
    """Typed in order, each ends well; where the page moves the app, users are at the new site afterwards."""
    letter = tmp_path / "letter.txt"
    letter.write_text(LETTER.format(host=stage.fleet.names.host))
    DAYS[page](stage)
    person = Person(letter, stage.state.now, lambda: getattr(stage.monitor.newest(), "site", ""))
    for command in commands(page):
        person.type(command)
    newest = stage.monitor.newest()
    assert newest is not None
    if page in ENDS:
        assert newest.site == "birch"
        assert stage.post(1) == 1
