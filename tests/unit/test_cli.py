"""The command line: what a person types, what is printed where, and the exit status."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import stamina.instrumentation
import structlog
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from resilience import cli
from resilience.adapters.journal_file import JournalFile
from resilience.cli.commands import NAMES
from tests.journals import healthy, missed, unknown
from tests.unit.test_config import GOOD

ROOT = Path(__file__).resolve().parents[2]


def leaves() -> Iterator[str]:
    """Every command that does something, as it is typed."""
    for name, command in ((name, get_command(cli.app).commands[name]) for name in NAMES):  # type: ignore[attr-defined]
        yield from (f"{name} {part}" for part in command.commands) if isinstance(command, TyperGroup) else (name,)


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Type]:
    """Types a command in an empty folder, through the real error boundary."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    hooks, level = stamina.instrumentation.get_on_retry_hooks(), logging.getLogger("Validators").level

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["resilience", *words])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Said(status, *capfd.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    stamina.instrumentation.set_on_retry_hooks(hooks)
    structlog.reset_defaults()
    logging.getLogger("Validators").setLevel(level)


def fleet_file(text: str = GOOD) -> Path:
    """A fleet file where commands look for it."""
    path = Path("fleet.toml")
    path.write_text(text)
    return path


@pytest.mark.parametrize("command", [*leaves()])
def test_help_ends_in_the_exit_status(command: str) -> None:
    """Each command's text ends with what its exit status means."""
    said = CliRunner().invoke(cli.app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    text = said.output.split("Arguments:")[0].split("Options:")[0]
    assert text.strip().split("\n\n")[-1].strip().startswith("Exit status: 0")


def test_help_names_every_command() -> None:
    """The list has all of them, and says what each exit status means."""
    said = CliRunner().invoke(cli.app, ["--help"])
    for name in NAMES:
        assert re.search(rf"^  {name} ", said.output, re.MULTILINE), name
    assert "5 refused" in said.output


def test_every_file_of_commands_is_one() -> None:
    """No command is forgotten in the list: each file that has something to run is in it."""
    files = {path.stem.replace("_", "-") for path in (ROOT / "resilience/cli").glob("[!_]*.py")}
    runnable = re.compile(r"^(def run\(|app = typer)", re.MULTILINE)
    given = {
        name for name in files if runnable.search((ROOT / f"resilience/cli/{name.replace('-', '_')}.py").read_text())
    }
    assert given == set(NAMES)


def test_a_slip_of_the_finger_is_told_what_was_meant() -> None:
    """Usage, and the command that is called nearly like that."""
    said = CliRunner().invoke(cli.app, ["statsu"])
    assert (said.exit_code, "Did you mean 'status'?" in said.output) == (2, True), said.output


def test_a_command_loads_little_of_what_others_need() -> None:
    """`status` begins without the engine's SDK, templates, pictures, dates in letters or a simulated world: they took half its start."""
    heavy = (
        "pulumi",
        "stacks",
        "jinja2",
        "PIL",
        "dateparser",
        "resilience.simulation",
        "boto3",
        "google.cloud.storage",
    )
    asked = f"import sys, resilience.cli.status; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", asked], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )


def test_what_is_logged_is_no_part_of_an_answer(typed: Type, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever reads `--json` reads standard output alone."""
    typed("--help")
    structlog.get_logger().warning("a vault gives nothing")
    said = capfd.readouterr()
    assert (said.out, "a vault gives nothing" in said.err) == ("", True)


def test_a_good_file_is_valid(typed: Type) -> None:
    """Exit 0 without a network; the file stays as it was."""
    path = fleet_file()
    said = typed("check", "--offline")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("fleet.toml: valid.\npass    losing acorn")
    assert path.read_text() == GOOD
    assert [p.name for p in Path().iterdir()] == ["fleet.toml"]


@pytest.mark.parametrize(
    ("text", "status"), [(GOOD.replace("lab = true", ""), 4), (GOOD.replace("ttl_s = 30", "ttl_s = 300"), 1)]
)
def test_a_valid_file_of_which_something_is_unknown_or_fails(typed: Type, text: str, status: int) -> None:
    """The exit status says so without a network as it does with one."""
    fleet_file(text)
    said = typed("check", "--offline")
    assert (said.status, said.err) == (status, "")
    assert said.out.startswith(f"fleet.toml: valid.\n{'unknown disk' if status == 4 else 'fail    name'}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fleet", "not valid TOML"),
        (GOOD.replace("rpo_s = 2\n", ""), "promise.rpo_s"),
        (GOOD.replace("k = 2\ns = 2", "k = 1\ns = 2"), "replication.s"),
    ],
)
def test_a_bad_file_is_named(typed: Type, text: str, words: str) -> None:
    """Exit 2, three lines on standard error, nothing on standard output, nothing touched."""
    fleet_file(text)
    said = typed("check", "--offline")
    assert said.status == 2
    assert said.out == ""
    assert words in said.err
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["Error", "Why", "Next"]
    assert [p.name for p in Path().iterdir()] == ["fleet.toml"]


def test_no_file_at_all(typed: Type) -> None:
    """Exit 2, and what to do."""
    said = typed("--fleet", "there.toml", "check", "--offline")
    assert said.status == 2
    assert "there.toml" in said.err
    assert "lab up" in said.err


def test_a_word_that_is_none(typed: Type) -> None:
    """Commands and options that do not exist are usage errors."""
    assert typed("fly").status == 2
    assert typed("check", "--sideways").status == 2
    assert typed("drill", "--size", "gigantic").status == 2


def test_json_is_all_there_is(typed: Type) -> None:
    """With --json standard output is one JSON document, also for errors."""
    fleet_file()
    assert json.loads(typed("check", "--offline", "--json").out)["valid"] is True
    fleet_file("[fleet")
    said = typed("check", "--offline", "--json")
    found = json.loads(said.out)
    assert said.status == found["exit"] == 2
    assert set(found) == {"error", "why", "next", "exit"}


def test_a_simulated_drill(typed: Type) -> None:
    """Exit 4, journal, verdict and report in the directory; the same journal is judged the same again."""
    said = typed("drill", "--simulate", "--seed", "7", "--report", "out")
    assert said.status == 4
    out = Path("out")
    assert sorted(p.name for p in out.iterdir()) == ["journal.jsonl", "report.html", "verdict.json"]
    verdict = json.loads((out / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["simulated"], verdict["seed"]) == ("unknown", True, 7)
    assert "SIMULATED" in (out / "report.html").read_text().upper()
    assert "out/report.html" in said.out
    assert "\x1b" not in said.out + said.err
    (out / "verdict.json").unlink()
    assert typed("verdict", "out").status == 4
    assert json.loads((out / "verdict.json").read_text()) == verdict


def test_a_simulated_drill_for_machines(typed: Type) -> None:
    """With --json standard output is the verdict and nothing else."""
    said = typed("drill", "--simulate", "--seed", "7", "--report", "out", "--json")
    assert said.status == 4
    assert json.loads(said.out) == json.loads(Path("out/verdict.json").read_text())


def test_a_journal_is_never_overwritten(typed: Type) -> None:
    """A second drill into the same directory is refused, and the first one's journal stays."""
    Path("out").mkdir()
    Path("out/journal.jsonl").write_text("")
    said = typed("drill", "--simulate", "--report", "out")
    assert said.status == 2
    assert "never overwritten" in said.err
    assert Path("out/journal.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "words", [("--fault", "flood"), ("--standby", "lukewarm"), ("--to", "nowhere"), ("--to", "acorn")]
)
def test_what_cannot_be_drilled(typed: Type, words: tuple[str, str]) -> None:
    """Exit 2 with the word in question, and no report of something that did not happen."""
    said = typed("drill", "--simulate", "--report", "out", *words)
    assert said.status == 2
    assert words[1] in said.err
    assert not Path("out/report.html").exists()


@pytest.mark.parametrize("simulate", [("--simulate",), ()])
def test_a_live_fleet_is_not_drilled(typed: Type, simulate: tuple[str, ...]) -> None:
    """Exit 5: faults belong in a lab."""
    fleet_file(GOOD.replace("lab = true", "lab = false"))
    said = typed("drill", *simulate, "--report", "out")
    assert said.status == 5
    assert "live fleet" in said.err
    assert not Path("out").exists()


@pytest.mark.parametrize(("events", "status"), [(healthy(), 0), (missed(), 3), (unknown(), 4)])
def test_verdict_of_an_old_journal(typed: Type, events: list[object], status: int) -> None:
    """Met is 0, missed is 3, unknown is 4; by directory or by the journal itself."""
    log = JournalFile(Path("old/journal.jsonl"))
    for event in events:
        log.append(event)  # type: ignore[arg-type]
    assert typed("verdict", "old").status == status
    said = typed("verdict", "old/journal.jsonl", "--json")
    assert said.status == status
    assert json.loads(said.out)["verdict"] in {"met", "missed", "unknown"}


def test_verdict_of_nothing(typed: Type) -> None:
    """A directory without a journal is a usage error, and gets no report."""
    Path("empty").mkdir()
    said = typed("verdict", "empty")
    assert said.status == 2
    assert "journal" in said.err
    assert list(Path("empty").iterdir()) == []


def test_verdict_of_an_altered_journal(typed: Type) -> None:
    """A broken line in the middle is an error that names it, never a verdict."""
    log = JournalFile(Path("old/journal.jsonl"))
    for event in healthy():
        log.append(event)
    lines = Path("old/journal.jsonl").read_text().splitlines(keepends=True)
    Path("old/journal.jsonl").write_text("".join([*lines[:3], "{altered\n", *lines[4:]]))
    said = typed("verdict", "old")
    assert said.status == 1
    assert "line 4" in said.err
    assert not Path("old/verdict.json").exists()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_fleets(typed: Type, example: Path) -> None:
    """Each example is valid as it stands, and its cost can be told."""
    assert typed("--fleet", str(example), "check", "--offline").status == 0
    told = typed("--fleet", str(example), "cost", "--json")
    assert told.status == 0
    assert json.loads(told.out)["month"]["lines"]


def test_a_dead_vendors_stacks_are_forgotten_and_taken_back(typed: Type) -> None:
    """With no kit on this machine, no token and no engine: the state is put aside, whole, and comes back as it was."""
    fleet_file()
    state = Path("state/.pulumi/stacks/resilience/acorn.json")
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    assert typed("stack", "forget", "acorn") == Said(0, "Forgotten: acorn.\n", "")
    assert not state.exists()
    assert typed("stack", "forget", "acorn").out == "Forgotten: nothing.\n"
    assert typed("stack", "forget", "acorn", "--undo").out == "Recalled: acorn.\n"
    assert state.read_text() == "{}"
    assert typed("stack", "forget", "maple").status == 2


def test_a_vault_or_site_that_is_none_is_named(typed: Type) -> None:
    """Names are checked before anything is opened."""
    fleet_file()
    assert "No vault is called maple" in typed("vault", "up", "maple").err
    assert "No site is called maple" in typed("stack", "restore", "maple").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan --lost nope", "No vendor is called nope"),
        ("plan --to nope", "No site is called nope"),
        ("failover --lost nope", "No vendor is called nope"),
        ("failover --to nope --digest 0123456789ab", "No site is called nope"),
        ("protect --lost nope", "No vendor is called nope"),
        ("vaults --lost nope", "No vendor is called nope"),
        ("status --lost nope", "No vendor is called nope"),
        ("names --lost nope", "No vendor is called nope"),
        ("names --lost acorn --lost dover", "No DNS vendor is left to ask"),
        ("switchover --to nope", "No site is called nope"),
        ("up nope", "No site is called nope"),
        ("catch-up nope", "No vault is called nope"),
        ("vault revert nope", "No vault is called nope"),
        ("vaults --without nope", "No vault is called nope"),
        *(
            (f"{command} --accept loses-wirtes", "Did you mean loses-writes?")
            for command in ("failover", "switchover", "evacuate", "protect", "vaults", "erase", "down acorn")
        ),
        ("down nope", "No site is called nope"),
        ("stack restore nope", "No site is called nope"),
        ("restore --into copy --at garbage", "neither a position nor a time"),
        ("restore --into copy --at 0/xyz", "neither a position nor a time"),
    ],
)
def test_a_slip_of_the_finger_is_told_before_anything_is_opened(typed: Type, words: str, said: str) -> None:
    """There is no kit here, so nothing could be read or called: it is a usage error all the same, and leaves nothing."""
    fleet_file()
    found = typed(*words.split())
    assert (found.status, found.out) == (2, "")
    assert said in found.err
    assert [path.name for path in Path().iterdir()] == ["fleet.toml"]


def test_a_new_fleet_from_nothing_to_what_its_kit_still_lacks(typed: Type) -> None:
    """No network, no vendor: the file is checked, the kit is made once, and `check` lists all that is missing at once."""
    fleet_file((ROOT / "examples/hobby.toml").read_text())
    made = typed("kit", "make")
    assert (made.status, made.err) == (0, "")
    assert "accounts/hetzner.env" in made.out
    assert "resilience up nuremberg" in made.out
    again = typed("kit", "make", "--json")
    assert (again.status, json.loads(again.out)["exit"]) == (5, 5)
    assert typed("kit", "list").status == 0
    lacking = typed("check", "--json")
    assert lacking.status == 1
    said = [finding["said"] for finding in json.loads(lacking.out)["findings"] if finding["area"] == "kit"]
    assert len(said) == 7
    assert all(
        word in " ".join(said) for word in ("HCLOUD_TOKEN", "dns/cloudflare.txt", "vaults/amazon.json", "host_keys/")
    )


def test_credentials_that_cannot_be_read_are_an_error_that_names_them(typed: Type) -> None:
    """`status` says which file and where a right one is shown; `check` has it in a line of its own, with all else."""
    fleet_file((ROOT / "examples/hobby.toml").read_text())
    assert typed("kit", "make").status == 0
    path = Path("kit/vaults/google.json")
    path.parent.mkdir()
    path.write_text("{'operator': 1}")
    for words in (("status",), ("status", "--json")):
        found = typed(*words)
        assert found.status == 1
        assert "kit/vaults/google.json holds no credentials" in found.err
        assert "docs/vendors" in found.err
    checked = json.loads(typed("check", "--json").out)["findings"]
    said = [finding["said"] for finding in checked if finding["grade"] == "fail"]
    assert all("docs/vendors" in finding["next"] for finding in checked if "vaults/" in finding["said"])
    assert sum("vaults/google.json" in one for one in said) == 1
    assert sum("vaults/amazon.json" in one for one in said) == 1


@pytest.mark.parametrize(
    "words", [("history", "nowhere"), ("history", "--json", "no/where"), ("history", "fleet.toml")]
)
def test_the_history_of_no_folder(typed: Type, words: tuple[str, ...]) -> None:
    """A slip of the finger is told, and makes nothing."""
    fleet_file()
    found = typed(*words)
    assert found.status == 2
    assert f"There is no folder {words[-1]}." in found.err
    assert [path.name for path in Path().iterdir()] == ["fleet.toml"]


def test_the_history_of_a_fleet_that_never_drilled(typed: Type) -> None:
    """Nothing is remembered, which is no error, and nothing is made."""
    found = typed("history")
    assert (found.status, found.out, found.err) == (0, "0 drills.\n", "")
    assert json.loads(typed("history", "--json").out)["entries"] == []
    assert not [*Path().iterdir()]


def test_a_history_is_shown_though_its_picture_cannot_be_written(typed: Type) -> None:
    """What was asked for is said; the picture's path and why are told."""
    page = Path("reports/history.html")
    page.parent.mkdir()
    assert "Trend: reports/history.html" in typed("history").out
    page.unlink()
    page.mkdir()
    found = typed("history")
    assert (found.status, found.out.splitlines()[-1]) == (0, "0 drills.")
    assert found.err == "The picture was not written: reports/history.html: Is a directory.\n"


@pytest.mark.parametrize("amount", ["stored-gb=inf", "stored-gb=nan", "stored-gb=-1", "busy=nan"])
def test_what_is_no_amount_has_no_cost(typed: Type, amount: str) -> None:
    """JSON knows no Infinity, and nobody is billed for it."""
    fleet_file()
    found = typed("cost", "--json", f"--{amount}")
    assert found.status == 2
    assert not re.search("Infinity|NaN", found.out)


def test_what_this_machine_refuses_is_said_in_three_lines(typed: Type) -> None:
    """An OSError that nobody foresaw names its path; exit 1, and no traceback."""
    fleet_file()
    Path(".lock").mkdir()
    found = typed("stack", "forget", "acorn")
    assert (found.status, found.out) == (1, "")
    assert [line.split(":")[0] for line in found.err.splitlines()] == ["Error", "Why", "Next"]
    assert f"{Path('.lock').resolve()}: Is a directory." in found.err


@pytest.mark.parametrize("words", [("cost",), ("cost", "--json")])
def test_a_full_output_is_an_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Whoever keeps what is printed is told that it is not whole: exit 1, in three lines, once."""
    (tmp_path / "fleet.toml").write_text(GOOD)
    program = [sys.executable, "-c", "from resilience.cli import main; main()", *words]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(program, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 1
    assert [line.split(":")[0] for line in found.stderr.splitlines()] == ["Error", "Why", "Next"]
    assert "No space left on device" in found.stderr


def test_no_output_at_all_changes_no_exit_status(tmp_path: Path) -> None:
    """As under a supervisor that closes it."""
    program = [sys.executable, "-c", "from resilience.cli import main; main()", "cost"]
    found = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *program], cwd=tmp_path, capture_output=True, check=False)
    assert (found.returncode, b"Traceback" in found.stderr) == (2, False), found.stderr


def test_a_kit_that_is_not_there_has_no_shares(typed: Type) -> None:
    """It says how one is made, and makes no folder."""
    fleet_file()
    found = typed("kit", "split", "--to", "shares")
    assert (found.status, found.out) == (1, "")
    assert f"There is no kit in {Path('kit').resolve()}." in found.err
    assert "resilience kit make" in found.err
    assert [path.name for path in Path().iterdir()] == ["fleet.toml"]


def test_one_share_twice_is_one_share(typed: Type) -> None:
    """Both files are named, also where the words stand on other lines; nothing is opened."""
    fleet_file((ROOT / "examples/hobby.toml").read_text())
    assert typed("kit", "make").status == 0
    assert typed("kit", "split", "--to", "shares", "--need", "2", "--of", "3").status == 0
    copy = Path("typed.txt")
    copy.write_text(Path("shares/share-1.txt").read_text().replace(" ", "\n"))
    opening = (
        "kit",
        "combine",
        "--sealed",
        "shares/kit.age",
        "--to",
        "new",
        "--share",
        "shares/share-1.txt",
        "--share",
    )
    found = typed(*opening, "typed.txt")
    assert found.status == 2
    assert "shares/share-1.txt and typed.txt are the same share." in found.err
    assert "shares/share-1.txt is given twice." in typed(*opening, "shares/share-1.txt").err
    assert not Path("new").exists()
    assert typed(*opening, "shares/share-2.txt").status == 0


def test_an_interrupt_while_the_program_loads(tmp_path: Path) -> None:
    """One line and exit 130, as later on: what it loads is interrupted here, as by Ctrl-C."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "resilience"
    ].partition(":")
    assert f"from {module} import {function}\n" in (ROOT / "scripts/parts/python.sh").read_text()
    program = [sys.executable, "-c", f"from {module} import {function}; {function}()", "status"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    found = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "Interrupted.\n")


def test_no_kit_for_a_lab_nor_for_a_bad_file(typed: Type) -> None:
    """Exit 2, and no folder."""
    for text in (
        GOOD.replace("[fleet]\n", "[fleet]\nlab = true\n"),
        "[fleet",
        GOOD.replace("k = 2\ns = 2", "k = 1\ns = 2"),
    ):
        fleet_file(text)
        assert typed("kit", "make").status == 2
        assert [path.name for path in Path().iterdir()] == ["fleet.toml"]
