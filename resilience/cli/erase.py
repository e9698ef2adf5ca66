"""`resilience erase`: what the ledger says is gone leaves the vaults, too."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from resilience.cli.approval import Accepted
from resilience.cli.context import Context, say_json
from resilience.engine.erase import HAZARD, erase
from resilience.errors import Exit


def run(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Erase; without it nothing is touched.")] = False,
    accept: Accepted = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say which pictures each vault could lose. With --yes, remove every version of them.

    They are those of takedowns and erasures that this machine first saw `erase_after_days` ago, and that no row names.
    Where a vault keeps a picture's payload under a lock, the header that opens it is removed from all others.

    Exit status: 0 done, 1 a vault did not answer or held something back, 2 usage, 5 much would go and nobody accepted that.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone(gives_way=True):
        found = erase(world, fleet, really=yes, accepted=frozenset(accept or ()))
    if as_json:
        say_json(found)
    else:
        for line in _lines(found, yes):
            typer.echo(line)
    if any("error" in facts or facts.get("refused") for facts in found["vaults"].values()):
        raise typer.Exit(Exit.ERROR)


def _lines(found: Mapping[str, Any], yes: bool) -> list[str]:
    lines = [f"{name}: {_told(facts)}" for name, facts in found["vaults"].items()]
    if yes and (line := _payloads(found["vaults"].values())):
        lines.append(line)
    lines.append(
        f"By {found['through']} ledger entries. {found['named']} of the pictures they name stay: rows name them."
    )
    if found["waiting"]:
        lines.append(f"{found['waiting']} entries wait: this machine has not known them for erase_after_days.")
    if found["put_back"]:
        lines.append(f"{found['put_back']} pictures that rows name and a vault lacked are shipped again.")
    if found["hazards"] and not yes:
        lines.append(f"That is much of a vault. It takes --accept {HAZARD}")
    return lines if yes else [*lines, "Nothing was erased. To erase it: resilience erase --yes"]


def _payloads(vaults: Collection[Mapping[str, Any]]) -> str:
    """What a lock keeps of pictures whose header is removed, and whether that can be opened; empty where nothing is kept."""
    if not any(facts.get("payloads") for facts in vaults):
        return ""
    if any("error" in facts or facts.get("refused") for facts in vaults):
        return (
            "Payloads that a lock holds may still be opened: not every vault is rid of their headers. Run this again."
        )
    return "Payloads that a lock holds open for nobody: no vault has their headers."


def _told(facts: Mapping[str, Any]) -> str:
    if "error" in facts:
        return str(facts["error"])
    if "would_erase" in facts:
        return f"{facts['would_erase']} pictures could go."
    held = f" {facts['refused']} are held back: {facts['why']}" if facts["refused"] else ""
    return f"{facts['erased']} pictures erased.{held}{_locked(facts)}"


def _locked(facts: Mapping[str, Any]) -> str:
    if not facts.get("payloads"):
        return ""
    until = facts["until"]
    when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC" if until else "its lock ends"
    return f" {facts['payloads']} payloads lie there until {when}."
