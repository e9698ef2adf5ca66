"""`resilience kit …`: a first kit, who can open copies, and shares of the kit for several people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.errors import UsageError
from resilience.model import Fleet
from resilience.wire import holds_copies, kit_first, kit_shares

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keys: a first kit; who can open copies; shares of the kit for several people.",
)
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
FROM_NOW_ON = "What is put from now on; the site's host learns it with `resilience up SITE`."
STILL = (
    "What was put before stays open to whoever holds the identity, in every vault, until it is pruned there. "
    "If it fell into wrong hands, take a new snapshot, and have the older ones and the WAL before it pruned."
)


@app.command("make")
def make(
    ctx: typer.Context,
    escrow: Annotated[
        Path | None, typer.Option(help="A new file outside the kit for an identity that is kept elsewhere.")
    ] = None,
    new_vaults: Annotated[
        bool, typer.Option("--new-vaults", help="In the kit that is there: only what vaults added since then need.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the fleet's first kit: every key that no vendor hands out. Nothing is written over, and nobody is asked.

    Then it lists what is left for a person to put there, and what to type next.

    Exit status: 0 made, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    if fleet.lab:
        raise UsageError("This is a lab's fleet file.", "A lab makes its own kit.", "Type `resilience lab up`.")
    kit = context.home.kit()
    if new_vaults:
        added = kit_first.add_vaults(kit, fleet, lambda vault: holds_copies(context.home, vault))
        told = f"Passwords for snapshots were made for: {', '.join(added)}." if added else "No vault lacks anything."
        _said(as_json, told, {"kit": str(kit), "vaults": added})
        return
    kit_first.make(kit, fleet, escrow)
    left = [(name, what) for name, what in kit_first.by_hand(fleet) if not (kit / name).exists()]
    value = {"kit": str(kit), "escrow": str(escrow) if escrow else None, "by_hand": dict(left)}
    _said(as_json, f"{kit} holds a new kit. Whoever loses it loses every copy.", value, *_next(fleet, left, escrow))


@app.command("list")
def list_recipients(ctx: typer.Context, as_json: Json = False) -> None:
    """List who can open what is put from now on.

    Exit status: 0 listed, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    names = context.home.keys().names()
    if as_json:
        say_json(names)
        return
    for name, recipient in names.items():
        typer.echo(f"{name}: {recipient}")


@app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called, for example escrow.")],
    recipient: Annotated[str | None, typer.Option(help="Somebody's own age1…; a new identity where absent.")] = None,
    as_json: Json = False,
) -> None:
    """Let one more person or place open what is put from now on.

    Exit status: 0 added, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.alone():
        added = context.home.keys().add(name, recipient)
    _said(as_json, f"{name} can open copies: {added}.", {name: added}, FROM_NOW_ON)


@app.command("remove")
def remove(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Whom.")], as_json: Json = False) -> None:
    """Encrypt to this one no more. What is in the vaults already stays open to it.

    Exit status: 0 removed, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.alone():
        removed = context.home.keys().remove(name)
    _said(as_json, f"{name} can open nothing new.", {name: removed}, FROM_NOW_ON, STILL)


@app.command("rotate")
def rotate(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Whose.")], as_json: Json = False) -> None:
    """Put a new identity in the place of this one; the kit keeps the old one, for what is in the vaults.

    Exit status: 0 rotated, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.alone():
        made = context.home.keys().rotate(name)
    _said(as_json, f"{name} has a new identity: {made}.", {name: made}, FROM_NOW_ON, STILL)


@app.command("split")
def split(
    ctx: typer.Context,
    to: Annotated[Path, typer.Option(help="An empty folder.")],
    of: Annotated[int, typer.Option(help="How many people.")] = 5,
    need: Annotated[int, typer.Option(help="How many of them can open it together.")] = 3,
    as_json: Json = False,
) -> None:
    """Seal a copy of the kit, and write a share of its key for each of several people (SLIP-39).

    Exit status: 0 written, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    shares = kit_shares.split(context.home.kit(), to, of, need)
    told = f"{to / kit_shares.SEALED} opens with {need} of {of} shares."
    where = (
        f"Keep {kit_shares.SEALED} and a copy of the fleet file off this machine, where no vendor of the fleet is: the "
        "shares open nothing without it."
    )
    how = "Give each person one share, on paper; then remove them here. Split again after a key was added or rotated."
    _said(as_json, told, {"sealed": str(to / kit_shares.SEALED), "shares": [str(s) for s in shares]}, where, how)


@app.command("combine")
def combine(
    sealed: Annotated[Path, typer.Option(help="The sealed kit.")],
    share: Annotated[list[Path], typer.Option(help="A file with one person's share; one --share for each.")],
    to: Annotated[Path, typer.Option(help="An empty folder beside the fleet file.")],
    as_json: Json = False,
) -> None:
    """Open a sealed kit on an empty machine, with enough people's shares.

    Exit status: 0 opened, 1 error, 2 usage, 5 refused.
    """
    try:
        words = [path.read_text() for path in share]
        _refuse_one_twice(share, words)
        files = kit_shares.combine(sealed, words, to)
    except OSError as error:
        raise UsageError(
            f"{error.filename or 'A file'} can't be read: {error.strerror}.",
            "It takes the sealed kit and enough people's shares, each typed into a file of its own.",
            "Like: --sealed kit.age --share share-1.txt --share share-2.txt --share share-3.txt --to kit",
        ) from error
    _said(as_json, f"{to} holds the kit: {files} files.", {"files": files, "kit": str(to)})


def _refuse_one_twice(share: list[Path], words: list[str]) -> None:
    """Refuse two files that hold the same share: one of them was meant to be another person's."""
    first: dict[tuple[str, ...], Path] = {}
    for path, text in zip(share, words, strict=True):
        other = first.setdefault(tuple(text.split()), path)
        if other is not path:
            raise UsageError(
                f"{other} and {path} are the same share." if other != path else f"{path} is given twice.",
                "Each share counts once, however often it is given.",
                "Give one more person's share in its place.",
            )


def _said(as_json: bool, told: str, value: Mapping[str, object], *more: str) -> None:
    if as_json:
        say_json(value)
    else:
        typer.echo("\n".join([told, *more]))


def _next(fleet: Fleet, left: list[tuple[str, str]], escrow: Path | None) -> Iterator[str]:
    """What the operator of a new fleet does next, in order."""
    yield "\n1. Put there what only a vendor or you can give, each file readable by you alone:"
    width = max((len(name) for name, _ in left), default=0)
    yield from (f"   {name:{width}}  {what}" for name, what in left)
    yield "   To each vendor that asks for an SSH key give ssh_ed25519.pub; hosts of your own take it for root."
    stacks = [vault.name for vault in fleet.vaults if vault.stack]
    made = "Make the vaults" if stacks else "Make the vaults at their vendors (docs/vendors)"
    yield f"2. {made}, and try what their stores do:"
    yield from (f"   resilience vault up {name}" for name in stacks)
    yield from (f"   resilience vault probe {vault.name}" for vault in fleet.vaults)
    yield "3. See what is still missing:  resilience check"
    yield "4. Shares for several people:  resilience kit split --to FOLDER --of 5 --need 3"
    if escrow is None:
        yield "   Somebody who can open copies without this kit:  resilience kit add escrow --recipient age1…"
    else:
        yield f"   Take {escrow} off this machine: it opens every copy, and is in no share."
    yield f"5. Make the first site:  resilience up {fleet.primary.name}"
