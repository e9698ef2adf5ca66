"""What people read in a terminal: survey, plan, verdict, error. No colour where it is no terminal.

Every function gives the text itself, ready for `typer.echo`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from resilience.decide.forecast import Forecast
from resilience.decide.quorum import newest_epoch
from resilience.decide.standing import standing
from resilience.errors import ResilienceError
from resilience.model import (
    Certificate,
    Fleet,
    Hazard,
    Plan,
    Reading,
    Site,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    Verdict,
    ZoneReading,
)
from resilience.render import words
from resilience.render.alarms import alarms
from resilience.render.report import tiles

T = TypeVar("T")
PLAIN_WIDTH = 120
"""Columns where the output is no terminal: nothing is cut, long words are folded."""

STATES = {"met": "green", "missed": "red", "unknown": "yellow"}


def console(*, error: bool = False, file: IO[str] | None = None) -> Console:
    """Standard output, or standard error for what is not the answer itself."""
    stream = file or (sys.stderr if error else sys.stdout)
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def rendered(*parts: RenderableType) -> str:
    """As standard output can show it: in colour and as wide as the terminal, else plain."""
    shown = console()
    with shown.capture() as captured:
        shown.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def survey_text(fleet: Fleet, survey: Survey) -> str:
    """What was seen: sites, vaults, names and accounts; what could not be seen says why."""
    head = Text.assemble((fleet.name, "bold"), f" at {words.moment(survey.at)}")
    tables = (
        _sites(fleet, survey),
        _vaults(fleet, survey),
        *_mirrors(fleet, survey),
        _zones(fleet, survey),
        _accounts(survey),
    )
    return rendered(head, *tables, *_certificate(fleet, survey), *_standing(standing(fleet, survey)), *alarms(survey))


def _certificate(fleet: Fleet, survey: Survey) -> list[RenderableType]:
    """What a site that is made anew would serve the name with; nothing where the name is served by plain HTTP."""
    if not fleet.names.authorities:
        return []
    told = reading(survey.certificate, lambda found: _told(found, survey.at))
    return [Text("\nCertificate in the vaults", style="bold"), told]


def _told(found: tuple[Certificate, tuple[str, ...]] | None, now: float) -> str:
    if found is None:
        return "none: `resilience up` of the primary brings one there"
    certificate, vaults = found
    left = certificate.not_after - now
    ends = f"ends in {left / 86_400:.0f} days" if left > 0 else "EXPIRED"
    return f"{certificate.host}, by {certificate.issuer}, until {certificate.until} ({ends}), in {', '.join(vaults)}"


def _standing(hazards: Sequence[Hazard]) -> list[RenderableType]:
    """Dangers that are there every day."""
    lines = [Padding(Text.assemble((h.name, "bold yellow"), f": {h.why}"), (0, 0, 0, 2), expand=False) for h in hazards]
    return [Text("\nHazards of the copies", style="bold"), *lines] if lines else []


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    return table


def reading(value: Reading[T], say: Callable[[T], str] = str) -> Text:
    """A value in words, or why it is not known."""
    if isinstance(value, Unknown):
        return Text(f"unknown: {value.why}", style="yellow")
    return Text(say(value))


def _sites(fleet: Fleet, survey: Survey) -> Table:
    table = _table("\nSites", "site", "vendor", "role", "hosts", "serving", "open for", "behind")
    for site in fleet.sites:
        seen = survey.sites.get(site.name)
        role = _role(site, survey)
        if seen is None:
            table.add_row(site.name, site.vendor, role, "not looked at", "", "", "")
            continue
        hosts = reading(seen.outputs, lambda o: ", ".join(o.addresses) if o else "none")
        serving = Text("no") if seen.outputs is None else reading(seen.serving, _yes)
        if seen.locked:
            serving = Text(f"no: its disk waits for its key, resilience up {site.name}", style="yellow")
        table.add_row(site.name, site.vendor, role, hosts, serving, _open_for(seen), _behind(seen))
    return table


def _open_for(seen: SiteReading) -> Text:
    """The stage its gate is at; empty where nothing serves."""
    return reading(seen.stage) if seen.serving is True else Text("")


def _role(site: Site, survey: Survey) -> str:
    """Primary by the newest epoch; else what it does, and where it does not what was declared."""
    epoch = newest_epoch(survey)
    if epoch is not None and epoch.site == site.name:
        return "primary"
    seen = survey.sites.get(site.name)
    if seen is not None and not isinstance(seen.ship, Unknown) and seen.ship.get("role") == "standby":
        return f"hot, follows {seen.ship['follows']}"
    return "cold" if site.standby == "cold" else "hot, does not follow"


def _behind(seen: SiteReading) -> Text:
    """How far the vaults are behind a primary, and a hot standby behind the vaults."""
    if isinstance(seen.ship, Unknown):
        return reading(seen.ship) if seen.serving is True else Text("")
    told = words.UNKNOWN if seen.behind_s is None else words.seconds(seen.behind_s)
    risk = seen.ship.get("at_risk") or {}
    counts = [f"{risk[what]} {what}" for what in ("transactions", "objects") if risk.get(what)]
    return Text(", ".join([told, *counts]))


def _vaults(fleet: Fleet, survey: Survey) -> Table:
    table = _table("\nVaults", "vault", "vendor", "epoch", "newest snapshot", "ledger", "verified")
    for vault in fleet.sealing:
        seen = survey.vaults.get(vault.name)
        if seen is None:
            table.add_row(vault.name, vault.vendor, "not looked at", "", "", "")
            continue
        epoch = reading(seen.epoch, lambda e: f"{e.number}: {e.site} may write" if e else "none")
        snapshot = reading(seen.snapshot, lambda s: s or "none")
        table.add_row(
            vault.name,
            vault.vendor,
            epoch,
            snapshot,
            reading(seen.ledger, lambda n: f"{n} entries"),
            _verified(seen, survey.at),
        )
    return table


def _mirrors(fleet: Fleet, survey: Survey) -> list[RenderableType]:
    """Stores for copies only; nothing where there is none."""
    table = _table("\nMirrors", "mirror", "vendor", "of vault", "newest snapshot", "copied")
    for spec in fleet.mirrors:
        seen = survey.mirrors.get(spec.name, Unknown("not looked at"))
        if isinstance(seen, Unknown) or seen is None:
            table.add_row(spec.name, spec.vendor, reading(seen, lambda _: "of none yet: `resilience snapshot`"), "", "")
            continue
        copied = "from another machine" if seen.at is None else f"{words.seconds(survey.at - seen.at)} ago"
        table.add_row(spec.name, spec.vendor, seen.of, seen.snapshot, copied)
    return [table] if fleet.mirrors else []


def _verified(seen: VaultReading, now: float) -> Text:
    """How long ago this vault last gave the database back by itself, and whether that was compared with the primary, or failed to since."""
    if seen.failed_at is not None:
        return Text(f"FAILED {words.seconds(now - seen.failed_at)} ago: {seen.failed}", style="red")
    against = "rows the primary's" if seen.compared else "rows not compared"
    if not seen.compared and seen.compared_at is not None:
        against = f"rows compared {words.seconds(now - seen.compared_at)} ago"
    return reading(seen.verified, lambda at: "never" if at is None else f"{words.seconds(now - at)} ago, {against}")


def _zones(fleet: Fleet, survey: Survey) -> Table:
    table = _table(f"\n{fleet.names.host}", "DNS vendor", "leads to", "TTL", "zone")
    for zone in fleet.names.zones:
        seen = survey.zones.get(zone.vendor)
        leads: Text = reading(seen.addresses, lambda a: ", ".join(a) or "nowhere") if seen else Text("not looked at")
        table.add_row(zone.vendor, leads, _ttl(fleet, seen), _zone(seen))
    return table


def _zone(seen: ZoneReading | None) -> Text:
    """Whether it is as declared, and what its name servers say; empty where neither was asked."""
    if seen is None or isinstance(seen.drift, Unknown):
        return Text("")
    if seen.drift:
        return Text("; ".join(seen.drift), style="yellow")
    serials = "" if isinstance(seen.serials, Unknown) else ", ".join(f"{n} {s}" for n, s in seen.serials.items())
    return Text(f"as declared{f', serials: {serials}' if serials else ''}")


def _ttl(fleet: Fleet, seen: ZoneReading | None) -> Text:
    """How long users may be sent to an old site; one longer than declared is not ready."""
    served = None if seen is None or isinstance(seen.ttl_s, Unknown) else seen.ttl_s
    if served is None or served <= fleet.names.ttl_s:
        return Text("" if served is None else f"{served} s")
    return Text(f"{served} s, declared {fleet.names.ttl_s} s: `resilience up` lowers it", style="yellow")


def _accounts(survey: Survey) -> Table:
    table = _table("\nAccounts", "vendor", "account")
    for vendor, seen in survey.accounts.items():
        table.add_row(vendor, reading(seen, lambda is_open: "open" if is_open else "CLOSED"))
    return table


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "no"


def plan_text(plan: Plan, accepted: frozenset[str] = frozenset(), expected: Forecast | None = None) -> str:
    """Steps with their reasons, hazards by name, and the digest that approves exactly this plan."""
    way = plan.target if plan.source == plan.target else f"{plan.source} to {plan.target}"
    table = _table("", "#", "phase", "step", "reason")
    for number, step in enumerate(plan.steps, start=1):
        reason = f"{step.reason} (Beside what comes before it.)" if step.beside else step.reason
        table.add_row(str(number), step.phase.value, f"{step.action} {step.subject}", reason)
    head = Text.assemble((f"{plan.kind}: {way}", "bold"), f", {words.plural(len(plan.steps), 'step')}")
    return rendered(
        head, table, *_expected(expected), *_hazards(plan, accepted), Text.assemble("\nDigest ", (plan.digest, "bold"))
    )


def _expected(forecast: Forecast | None) -> list[RenderableType]:
    """How long it should take, what would be lost, and what that is known from."""
    if forecast is None:
        return []
    parts = ", ".join(f"{phase} {words.measured(took)}" for phase, took in forecast.takes.items())
    back = f"Users back after about {words.measured(forecast.total_s)}, TTL included" if forecast.total_s else ""
    loss = (
        f"Lost at most {words.counted(forecast.lost_writes)} writes ({words.seconds(forecast.lost_s)}) "
        f"and {words.counted(forecast.lost_objects)} pictures"
    )
    if forecast.lost_writes is None and forecast.lost_s is None:
        loss = "What would be lost is not known"
    lines = [f"{back} ({parts})." if back else "How long it takes is not known.", f"{loss}.", forecast.basis]
    return [Text("\nExpected", style="bold"), *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines)]


def _hazards(plan: Plan, accepted: frozenset[str]) -> list[RenderableType]:
    """Each hazard, whether it is accepted, and the option that accepts it."""
    if not plan.hazards:
        return [Text("\nNo hazards.")]
    lines: list[RenderableType] = [Text("\nHazards", style="bold")]
    for hazard in plan.hazards:
        state = "accepted" if hazard.name in accepted else f"accept it with --accept {hazard.name}"
        lines.append(
            Padding(
                Text.assemble((hazard.name, "bold yellow"), f": {hazard.why} ({state})"), (0, 0, 0, 2), expand=False
            )
        )
    return lines


def verdict_text(verdict: Verdict, report: str | None = None) -> str:
    """The verdict first, in words; then each measured thing, why it is no pass, and where the report is."""
    word = Text(words.outcome(verdict).upper(), style=f"bold {STATES[verdict.verdict]}")
    lines: list[RenderableType] = [Text.assemble(word, "  ", words.headline(verdict))]
    if words.with_person(verdict):
        lines.append(Text(words.with_person(verdict)))
    lines += [Padding(Text(why), (0, 0, 0, 2), expand=False) for why in verdict.why]
    table = _table("", "", "", "")
    table.show_header = False
    for tile in tiles(verdict):
        table.add_row(
            Text(tile.label),
            Text(tile.value, style="bold"),
            Text(tile.promise),
            Text(tile.state, style=STATES[tile.state]),
        )
    lines += [table, _parts(verdict)]
    if report:
        lines.append(Text(f"\nReport: {report}"))
    return rendered(*lines)


def _parts(verdict: Verdict) -> Text:
    rto = verdict.rto
    parts = [(name, getattr(rto, f"{name}_s")) for name in ("decide", "provision", "data", "start", "name")]
    return Text("\n" + ", ".join(f"{name} {words.measured(took)}" for name, took in parts))


def error_text(error: ResilienceError) -> str:
    """What happened, why, what next: one line each."""
    return rendered(
        Text.assemble(("Error: ", "bold red"), error.what),
        Text(f"Why:   {error.why}"),
        Text.assemble(("Next:  ", "bold"), error.next),
    )
