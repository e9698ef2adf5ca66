"""What names a post: one rule for what an order may hold, on the real app's port and on the simulated one."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from resilience.adapters.plaza import AS_PLAZA, PlazaOnHost
from resilience.adapters.shells import Shells
from resilience.adapters.ssh import Result
from resilience.model import SiteOutputs
from resilience.plaza import __main__ as plaza
from resilience.ports import App, TakenDown
from resilience.simulation import State
from resilience.simulation.app import SimApp

HOST = "plaza.test"
POSTS = {
    "113": "113",
    "0113": "113",
    "9223372036854775807": "9223372036854775807",
    "https://plaza.test/@ann/113": "113",
    "https://Plaza.Test:443/@ann/113/?page=2#reply": "113",
    "http://plaza.test/@ann/113": "113",
}
NO_POSTS = (
    "",
    "post7",
    " 113",
    "-113",
    "1_000",
    "١١٣",
    "113;reboot",
    "9223372036854775808",
    "https://elsewhere.test/@ann/113",
    "https://plaza.test/@ann",
    "https://plaza.test/@ann/113/likes",
    "plaza.test/@ann/113",
    "https://[plaza.test/@ann/113",
    "https://plaza.test/@ann/11\n3",
)


@dataclass
class Hosts:
    """A host whose plaza takes its command line as the real one does, and has none of the posts but those from 100 on."""

    told: list[list[int]] = field(default_factory=list)

    def __call__(self, _: object) -> Hosts:
        """Its shell."""
        return self

    def run(self, command: str, timeout: float, stdin: bytes | None) -> Result:
        """What plaza answers."""
        assert command.startswith(AS_PLAZA)
        assert len(command) < 128 << 10
        try:
            options = plaza._parser().parse_args(shlex.split(command.removeprefix(AS_PLAZA)))
        except SystemExit as ended:
            return Result(int(str(ended.code)), "", "usage")
        self.told.append(options.posts)
        return Result(0, json.dumps({"taken_down": sum(post >= 100 for post in options.posts), "entries": []}), "")


OUTPUTS = cast(SiteOutputs, None)


def real(hosts: Any = None) -> PlazaOnHost:
    """The app port as a fleet has it."""
    return PlazaOnHost(cast(Shells, hosts or Hosts()), Path(), HOST)


APPS: dict[str, App] = {"real": real(), "simulated": SimApp(State(), HOST)}


@pytest.mark.parametrize("app", APPS.values(), ids=APPS.keys())
def test_a_post_is_named_by_its_id_or_by_its_address(app: App) -> None:
    """Whatever else somebody may type is none."""
    assert {named: app.post_id(named) for named in POSTS} == POSTS
    assert [named for named in NO_POSTS if app.post_id(named) is not None] == []


def test_what_is_no_post_is_passed_over_and_told() -> None:
    """All others are taken down; plaza is never given words at which it ends."""
    hosts = Hosts()
    done = real(hosts).take_down(OUTPUTS, ["post7", "113", "https://plaza.test/@ann/114", "-5", "17"], "--court, AZ 1")
    assert done == TakenDown(2, ("post7", "-5"))
    assert hosts.told == [[113, 114, 17]]


def test_however_many_are_ordered_down_a_command_line_takes_them() -> None:
    """Linux passes on a line of 128 KiB, and no longer one."""
    hosts = Hosts()
    assert real(hosts).take_down(OUTPUTS, [str((1 << 62) + n) for n in range(10_001)], "court, AZ 1") == TakenDown(
        10_001
    )
    assert sum(map(len, hosts.told)) == 10_001


def test_where_no_post_is_named_plaza_is_not_asked() -> None:
    """It would want one."""
    hosts = Hosts()
    assert real(hosts).take_down(OUTPUTS, ["post7"], "court, AZ 1") == TakenDown(0, ("post7",))
    assert hosts.told == []
