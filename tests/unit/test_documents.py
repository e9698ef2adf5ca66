"""Documents: every command that a page names, in a block or in a sentence, is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from resilience import cli
from resilience.adapters.plaza import AS_PLAZA

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (
        ".",
        "docs",
        "docs/vendors",
        "runbooks",
        "examples",
        "resilience/lab",
        "resilience/replication",
        "stacks",
    )
    for path in (ROOT / folder).glob("*.md")
    if path.name != "CHANGELOG.md"
)
NAMES = re.compile(r"[A-Z][A-Z_]+")
"""A word that is yours to fill in."""
FILLED = {"HAZARD": "loses-writes", "STAGE": "writes"}
LEFT_OUT = {"MissingParameter", "BadOptionUsage"}
"""What no sentence has to name: the words that a command or an option needs."""


def named(page: str) -> Iterator[tuple[str, bool]]:
    """Each command of a page, and whether it stands in a block, so that somebody will copy it whole."""
    for block in re.findall(r"^ *```(?:sh|console)?\n(.*?)^ *```", page, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("resilience "):
                yield line.strip(), True
    prose = re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`(resilience [^`]+)`", prose):
        yield " ".join(span.split()), False


def typed(command: str) -> list[list[str]]:
    """What a person may type: no remark, no brackets, each of several choices, and something for what is to be filled in."""
    words = shlex.split(re.sub(r"[\[\]…]|\.\.\.", " ", command), comments=True)
    choices = [[filled(one) for one in word.split("|")] for word in words]
    return [list(chosen) for chosen in product(*choices[1:])]


def filled(word: str) -> str:
    """A word as somebody types it."""
    return FILLED.get(word, "1") if NAMES.fullmatch(word) else word


def refused(words: list[str], *, whole: bool) -> str:
    """Why the command line does not take these words, without running anything; what a sentence leaves out is no error."""
    command, context = typer.main.get_command(cli.app), None
    try:
        while isinstance(command, TyperGroup):
            if not words:
                return "a command is missing" if whole else ""
            context = command.make_context(command.name, words, parent=context)
            _, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command = found
        command.make_context(command.name, words, parent=context)
    except TyperException as error:
        return "" if type(error).__name__ in LEFT_OUT and not whole else str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_there(page: Path) -> None:
    """With its options and as many words as it takes."""
    wrong = {
        command: why
        for command, whole in named(page.read_text())
        for words in typed(command)
        if (why := refused(words, whole=whole))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "command",
    [
        "resilience verify birch",
        "resilience protect --lots birch",
        "resilience verfy",
        "resilience kit escrows|rotat",
        "resilience stack forget",
        "resilience",
    ],
)
def test_what_is_not_there_is_seen(command: str) -> None:
    """This test can fail: a word too many, a wrong option, a wrong command, a word too few."""
    assert all(refused(words, whole=True) for words in typed(command))


def test_a_moderator_is_made_as_drills_make_one() -> None:
    """What drills run on a host is what the page for the first day says."""
    assert f"'{AS_PLAZA}make-moderator NAME'" in (ROOT / "docs/first-day.md").read_text()
