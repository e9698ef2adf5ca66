"""Which commands there are; a command's module is loaded when it is asked for, since all of them together take seconds."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

NAMES = (
    "check",
    "cost",
    "up",
    "down",
    "status",
    "plan",
    "failover",
    "switchover",
    "evacuate",
    "open",
    "vaults",
    "protect",
    "drill",
    "rehearse",
    "verdict",
    "history",
    "catch-up",
    "restore",
    "verify",
    "snapshot",
    "prune",
    "erase",
    "names",
    "kit",
    "lab",
    "order",
    "notice",
    "stack",
    "vault",
)
"""In the order that help shows them; each is a file here."""


class OnDemand(UserDict[str, Any]):
    """Commands by name; each is made when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        """The command of this name; KeyError where there is none."""
        if self.data[name] is None:
            self.data[name] = _load(name)
        return self.data[name]


class Commands(TyperGroup):
    """All commands, of which only the one that was typed is loaded."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = OnDemand(dict.fromkeys(NAMES))


def _load(name: str) -> Any:
    """A file with an `app` is a command that has commands of its own; any other's is its `run`."""
    module = import_module(f"resilience.cli.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        command: Any = get_group(module.app)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        alone.command(name)(module.run)
        command = get_command(alone)
    command.name = name
    return command
