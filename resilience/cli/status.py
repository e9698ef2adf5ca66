"""`resilience status`: what is seen right now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from resilience.adapters.history_file import HistoryFile
from resilience.cli.context import Context, declared, say_json
from resilience.cli.outcome import HISTORY
from resilience.decide.quorum import newest_epoch
from resilience.decide.replaying import too_long
from resilience.decide.standing import standing
from resilience.engine.copied import lacking
from resilience.engine.observe import observe
from resilience.engine.rehearsal import hosts_left
from resilience.engine.replay import replay, snapshot_at
from resilience.errors import Exit
from resilience.judge.history import too_old
from resilience.model import EpochRecord, Fleet, Reading, Survey, Unknown
from resilience.render import survey_json, survey_text, to_json
from resilience.render.alarms import alarming

SEALING_S = 60.0
"""Vaults are given an epoch one beside the other, and some a moment later."""


def run(
    ctx: typer.Context,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show vendors, vaults, sites and zones as they answer; what does not is unknown.

    Exit status: 0 shown, 1 error, 2 usage, 3 critical: no drill passed, or a vault was not verified, or not compared with the primary, or no snapshot was taken, within the declared days, or a vault has no whole copy of the newest, or WAL since it takes too long to replay; a vault failed its newest verification, or was emptied or rolled back; or ship raises an alarm, commits wait for too few vaults, or nobody may write; or a standby goes on no more, or the site that may write does not serve, or does not say what it ships, or is not declared; or a rehearsal left its host. A lab is never critical.
    """
    context: Context = ctx.obj
    with context.world(lost=lost) as (fleet, world):
        survey = observe(world, fleet, declared(fleet, lost))
        late = "" if fleet.lab else too_long(fleet, replay(survey, world.log.read()))
        left, without = hosts_left(fleet, world.log.read()), lacking(world.log.read())
    found = (
        unrehearsed(context, fleet),
        broken(fleet, survey),
        emptied(fleet, survey),
        unverified(fleet, survey),
        uncompared(fleet, survey),
        long_replay(context, fleet, survey.at),
        uncopied(fleet, survey, without),
        behind(late),
        undeclared(fleet, survey),
        silent(fleet, survey),
        left_behind(context, fleet, left),
        *(() if fleet.lab else alarming(survey)),
    )
    critical = [why for why in found if why]
    if as_json:
        say_json({**survey_json(survey), "hazards": to_json(standing(fleet, survey)), "critical": critical})
    else:
        typer.echo(survey_text(fleet, survey))
        for why in critical:
            typer.echo(f"CRITICAL: {why}")
    if critical:
        raise typer.Exit(Exit.MISSED)


def broken(fleet: Fleet, survey: Survey) -> str:
    """Which vaults did not give the database back when that was last tried, and what was found; empty where all did, and for a lab."""
    why = {name: seen.failed.rstrip(".") for name, seen in survey.vaults.items() if seen.failed_at is not None}
    if fleet.lab or not why:
        return ""
    return f"{', '.join(why)} failed the newest verification ({'; '.join(_by_reason(why))}): see to that, then resilience verify"


def emptied(fleet: Fleet, survey: Survey) -> str:
    """Which vaults of the newest epoch's set answer and do not show it; empty where all do, where it was sealed a moment ago, and for a lab."""
    epoch = newest_epoch(survey)
    if fleet.lab:
        return ""
    if epoch is None:
        return _all_emptied(survey)
    if survey.at < epoch.sealed_at + SEALING_S:
        return ""
    shown = {name: survey.vaults[name].epoch for name in epoch.vaults if name in survey.vaults}
    lost = {name: found for name, found in shown.items() if not isinstance(found, Unknown) and _older(found, epoch)}
    if not lost:
        return ""
    told = "; ".join(f"{name} shows {f'epoch {found.number}' if found else 'none'}" for name, found in lost.items())
    ways = " and ".join(f"resilience catch-up {name}" for name in lost)
    return (
        f"epoch {epoch.number} is gone from {', '.join(lost)}, of its set ({told}): emptied or rolled back, unless silent when it was sealed. "
        f"What was there may be gone, too: resilience snapshot, then {ways}"
    )


def _older(found: EpochRecord | None, epoch: EpochRecord) -> bool:
    return found is None or found.number < epoch.number


def _all_emptied(survey: Survey) -> str:
    """That an epoch was sealed once, and every vault answers that there is none; empty in a fleet that has none yet."""
    known, silent = survey.past.sealed, [n for n, seen in survey.vaults.items() if isinstance(seen.epoch, Unknown)]
    if not known or silent or not survey.vaults:
        return ""
    return (
        f"epoch {known} was sealed, as this machine's journal says, and no vault shows any: all were emptied, and no other site "
        "could be brought up. Leave the site that serves alone, and put back what their vendors still have of them"
    )


def undeclared(fleet: Fleet, survey: Survey) -> str:
    """That a site may write which the fleet file does not declare; empty where it does, and for a lab."""
    epoch = newest_epoch(survey)
    if fleet.lab or epoch is None or epoch.site in {site.name for site in fleet.sites}:
        return ""
    return f"epoch {epoch.number} lets {epoch.site} write, which the fleet file does not declare: put it back, for nothing can be planned without it"


def silent(fleet: Fleet, survey: Survey) -> str:
    """Why the site that may write is of no use now, or nobody knows what it ships; empty where it serves and says so, where this machine knows no hosts of it, and for a lab."""
    epoch = newest_epoch(survey)
    seen = None if epoch is None else survey.sites.get(epoch.site)
    if fleet.lab or epoch is None or seen is None or not seen.outputs:
        return ""
    if not isinstance(seen.ship, Unknown):
        way = "resilience snapshot, for commits wait until one leads past WAL that was lost"
        idle = f"{epoch.site} may write and does not serve: {way if seen.ship.get('gap') else 'resilience plan shows the way on'}"
        return "" if seen.serving is True else idle
    why = seen.ship.why.rstrip(".")
    return f"{epoch.site} may write, and what it ships is not known ({why}): resilience plan shows the way on"


def unverified(fleet: Fleet, survey: Survey) -> str:
    """Which vaults did not give the database back lately; empty where all did, and for a lab."""
    old = [name for name, seen in survey.vaults.items() if not _lately(fleet, survey, seen.verified)]
    if fleet.lab or not old:
        return ""
    return f"no restore from {', '.join(old)} was verified within {fleet.promise.verify_every_days:g} days: resilience verify"


def uncompared(fleet: Fleet, survey: Survey) -> str:
    """Which vaults gave the database back lately and were not compared with the primary then; empty where all were, and for a lab."""
    why = {
        name: seen.not_compared.rstrip(".") or "nobody compared them"
        for name, seen in survey.vaults.items()
        if _lately(fleet, survey, seen.verified) and not _lately(fleet, survey, seen.compared_at)
    }
    if fleet.lab or not why:
        return ""
    return (
        f"rows of {', '.join(why)} were not compared with the primary's within {fleet.promise.verify_every_days:g} days, so that a copy "
        f"with other rows would pass ({'; '.join(_by_reason(why))}): see to that, then resilience verify, without --without-primary"
    )


def _lately(fleet: Fleet, survey: Survey, at: Reading[float | None]) -> bool:
    """Whether this was within the days in which every vault is to be verified."""
    return not isinstance(at, Unknown) and (at or 0) >= survey.at - fleet.promise.verify_every_days * 86400


def _by_reason(why: Mapping[str, str]) -> Iterator[str]:
    """Each reason once, after the vaults that it holds for."""
    for reason in dict.fromkeys(why.values()):
        yield f"{', '.join(name for name, its in why.items() if its == reason)}: {reason}"


def left_behind(context: Context, fleet: Fleet, left: Mapping[str, float]) -> str:
    """Which hosts of rehearsals may still be there; empty where none is, while one rehearses or clears up, and for a lab."""
    if fleet.lab or not left or context.rehearses():
        return ""
    since = ", ".join(f"{name} since {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" for name, at in left.items())
    ways = ", ".join(f"resilience down {name}" for name in left)
    return f"a rehearsal was ended before its host was removed, which may hold the whole database ({since}): {ways}"


def long_replay(context: Context, fleet: Fleet, now: float) -> str:
    """Whether the last snapshot is older than two of the declared spacings; empty where it is not, and for a lab."""
    if fleet.lab or now - snapshot_at(context.home.journal.read()) <= 2 * fleet.replication.snapshot_minutes * 60:
        return ""
    return f"no snapshot within two spacings of {fleet.replication.snapshot_minutes:g} minutes: resilience snapshot"


def uncopied(fleet: Fleet, survey: Survey, without: Mapping[str, str]) -> str:
    """Which vaults have no whole copy of the newest snapshot, and why; empty where all have, and for a lab."""
    why = {name: said.rstrip(".") for name, said in without.items() if name in survey.vaults}
    if fleet.lab or not why:
        return ""
    return f"{', '.join(why)} took no whole copy of the newest snapshot ({'; '.join(_by_reason(why))}): see to that, then resilience snapshot"


def behind(late: str) -> str:
    """That a cold restore would replay for too long; empty where it would not."""
    return (
        f"what was written since the newest snapshot takes too long to replay: {late}: resilience snapshot"
        if late
        else ""
    )


def unrehearsed(context: Context, fleet: Fleet) -> str:
    """Why this fleet's last passing drill is too old; empty where it is not, and for a lab."""
    history = HistoryFile(context.home.directory / "reports" / HISTORY)
    return "" if fleet.lab else too_old(history.read(), time.time(), fleet.promise.drill_every_days)
