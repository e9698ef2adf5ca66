"""`resilience notice add|list|evidence`: a vendor's letter, kept as it came, and what is done about it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from resilience.adapters.letter import Letter, read_letter
from resilience.adapters.notice_files import NoticeFiles
from resilience.cli.context import Context, declared, say_json
from resilience.engine.serving import serving_site
from resilience.errors import ResilienceError, UsageError
from resilience.model import Fleet, Notice
from resilience.replication.epoch import surely_newest

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A vendor's letter, and what is done about it.")
FROM_LETTERS = "What is to be done, and by when, is read from the vendor's letter."
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("add")
def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The letter: plain text, or an e-mail with its headers (.eml).")],
    vendor: Annotated[str, typer.Option(help="Who wrote it; the vendor of the site that serves where absent.")] = "",
    deadline: Annotated[
        str, typer.Option(help="When the account ends, where the letter does not say so clearly.")
    ] = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Only keep it; put nothing before the moderators. It takes --vendor.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep a vendor's letter, find its deadline, and put the posts it names before the moderators.

    Exit status: 0 kept, 1 error, 2 usage: no such file, or a deadline or a vendor that has to be said.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    data = _read(file)
    letter = read_letter(data)
    ends_at = _deadline(letter, deadline)
    declared(fleet, [vendor] if vendor else None)
    notice = _notice(fleet, letter, vendor or _writer(context, fleet, letter, offline=offline), ends_at)
    place = kept(context).keep(notice, data)
    queued: dict[str, object] = {}
    if notice.posts and not offline:
        with context.world() as (fleet, world):
            outputs = serving_site(world, fleet)
            queued = dict(world.app.take_notice(outputs, notice, letter.text))
    if as_json:
        say_json({**notice.to_json(), "kept": str(place), "queue": queued})
        return
    typer.echo(f"Kept in {place}. {notice.vendor} ends the account at {when(notice.deadline_at)}.")
    if queued:
        typer.echo(f"{queued['named']} posts are before the moderators; {queued['unknown']} of them are not here.")
    typer.echo("Next: resilience evacuate")


@app.command("list")
def list_notices(ctx: typer.Context, as_json: Json = False) -> None:
    """List the letters that were kept, the next deadline first.

    Exit status: 0 listed, 1 error.
    """
    found = kept(ctx.obj).all()
    if as_json:
        say_json([asdict(notice) for notice in found])
        return
    if not found:
        typer.echo("No notice was added.")
    for notice in found:
        typer.echo(
            f"{when(notice.deadline_at)} {notice.vendor}: {notice.reference}, names {len(notice.posts)} posts. {notice.subject}"
        )


@app.command("evidence")
def evidence(
    ctx: typer.Context,
    to: Annotated[Path, typer.Option(help="The file to write.")],
    reference: Annotated[str, typer.Argument(help="Which notice; the newest that names posts where absent.")] = "",
    as_json: Json = False,
) -> None:
    """Write what was decided about each named post, with what it was, into one signed file for the appeal.

    Exit status: 0 written, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    notice = chosen(context, reference) if reference else _newest_with_posts(context)
    with context.world() as (fleet, world):
        data = world.app.evidence(serving_site(world, fleet), notice)
    to.write_bytes(data)
    about = {"vendor": notice.vendor, "reference": notice.reference}
    say_json({"file": str(to), "bytes": len(data), **about}) if as_json else typer.echo(
        f"{to}: {len(data):,} bytes, about {notice.vendor}'s letter {notice.reference}."
    )


def kept(context: Context) -> NoticeFiles:
    """Where this fleet keeps letters."""
    return NoticeFiles(context.home.directory / "notices")


def chosen(context: Context, reference: str) -> Notice:
    """The notice of this reference, as it was added last."""
    found = [notice for notice in kept(context).all() if notice.reference == reference]
    if not found:
        raise UsageError(
            f"There is no notice {reference}.", FROM_LETTERS, "See those there are: resilience notice list"
        )
    return max(found, key=lambda notice: notice.received_at)


def pressing(notices: list[Notice], vendor: str, now: float) -> Notice:
    """The one letter of this vendor whose deadline lies ahead; UsageError that names the others where it is not one."""
    if not notices:
        raise UsageError("No notice was added.", FROM_LETTERS, "Add it: resilience notice add FILE")
    theirs = [notice for notice in notices if notice.vendor == vendor]
    ahead = [notice for notice in theirs if notice.deadline_at > now]
    if not theirs:
        raise UsageError(
            f"No letter of {vendor} was added, whose site may write.",
            f"There are: {_listed(notices)}.",
            f"Add it: resilience notice add FILE. Was one of these {vendor}'s, add it again with --vendor {vendor}",
        )
    if not ahead:
        raise UsageError(
            f"The deadline of {vendor} has passed, and its site was not left.",
            f"Its letters: {_listed(theirs)}.",
            f"To leave all the same: {_evacuate(theirs[-1])}",
        )
    if len(ahead) > 1:
        raise UsageError(
            f"{len(ahead)} letters of {vendor} have a deadline that lies ahead.",
            f"They are: {_listed(ahead)}.",
            f"Say which, such as the next: {_evacuate(ahead[0])}",
        )
    return ahead[0]


def _listed(notices: list[Notice]) -> str:
    return "; ".join(f"{one.vendor}'s {one.reference}, {when(one.deadline_at)}" for one in notices)


def _evacuate(notice: Notice) -> str:
    return f"resilience evacuate {shlex.quote(notice.reference)}"


def _newest_with_posts(context: Context) -> Notice:
    found = [notice for notice in kept(context).all() if notice.posts]
    if not found:
        raise UsageError(
            "No notice that names posts was added.", FROM_LETTERS, "Add the letter: resilience notice add FILE"
        )
    return max(found, key=lambda notice: notice.received_at)


def when(at: float) -> str:
    """A deadline as people need it: in UTC, with how long that is."""
    left = at - time.time()
    hours = f"in {left / 3600:.1f} hours" if left > 0 else f"{-left / 3600:.1f} hours ago"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M UTC} ({hours})"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file} can't be read.", str(error), "Save the letter as text or .eml, and name it."
        ) from error


def _deadline(letter: Letter, given: str) -> float:
    since = letter.sent_at or datetime.now(UTC)
    if given:
        return _given(given)
    if found := letter.clear_deadline(since):
        return found.at.timestamp()
    ahead = letter.deadlines(since)
    named = "; ".join(f"{deadline.words!r} may be {deadline.at:%Y-%m-%dT%H:%MZ}" for deadline in ahead)
    raise UsageError(
        "The letter does not say clearly when the account ends.",
        f"It names: {named}." if ahead else "No moment that lies ahead was found in it.",
        f"Read it, and say when: --deadline {ahead[0].at:%Y-%m-%dT%H:%MZ}" if ahead else "Say when: --deadline TIME",
    )


def _given(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageError(
            f"--deadline {text} is not a moment.", "Hours matter, so it needs a time zone.", "Write 2026-01-02T12:00Z."
        )
    return at.timestamp()


def _writer(context: Context, fleet: Fleet, letter: Letter, *, offline: bool) -> str:
    """Whose it is where nobody said: of the vendor whose site serves; UsageError where it names another, or nobody can look."""
    vendors = [vendor.name for vendor in fleet.vendors]
    named = letter.named(vendors)
    if offline:
        raise _unsaid("Nobody is asked offline which site serves.", named or vendors)
    try:
        serving = _serving_vendor(context)
    except ResilienceError as error:
        raise _unsaid(f"No vault tells which site serves. {error.what}", named or vendors) from error
    if others := [name for name in named if name != serving]:
        raise UsageError(
            f"The letter names {', '.join(others)}, and {serving} is where {fleet.names.host} is served.",
            "An account that is taken for another's is not left in time.",
            f"Say whose letter it is: {_options(dict.fromkeys([*others, serving]))}",
        )
    return serving


def _serving_vendor(context: Context) -> str:
    with context.world() as (fleet, world):
        epoch = surely_newest(world.vaults, world.signer.verify)
    if epoch is None:
        raise ResilienceError("No vault shows an epoch.", "Nothing was ever brought up.", "Run `resilience status`.")
    return fleet.site(epoch.site).vendor


def _unsaid(why: str, vendors: Iterable[str]) -> UsageError:
    return UsageError("Whose letter it is has to be said.", why, f"Say it: {_options(vendors)}")


def _options(vendors: Iterable[str]) -> str:
    return " or ".join(f"--vendor {name}" for name in vendors)


def _notice(fleet: Fleet, letter: Letter, vendor: str, deadline_at: float) -> Notice:
    sent = letter.sent_at
    return Notice(
        vendor=vendor,
        reference=letter.header("Message-ID").strip("<>") or letter.sha256[:16],
        subject=letter.header("Subject"),
        sender=letter.header("From"),
        sent_at=sent.timestamp() if sent else None,
        received_at=time.time(),
        deadline_at=deadline_at,
        posts=letter.pages_of(fleet.names.host),
        sha256=letter.sha256,
        headers=letter.headers,
    )
