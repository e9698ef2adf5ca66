"""What ship, or a standby, says should worry somebody, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from resilience.model import Survey, Unknown
from resilience.render import words


def alarms(survey: Survey) -> Iterator[Text]:
    """One red line for each alarm."""
    told = alarming(survey)
    if told:
        yield Text("\nAlarms", style="bold")
    for line in told:
        yield Text(line, style="red")


def alarming(survey: Survey) -> list[str]:
    """Each alarm of a site's ship, commits and writes that are not as the fleet file says, and a standby that goes on no more."""
    return [
        f"{site}: {line}"
        for site, seen in survey.sites.items()
        if not isinstance(seen.ship, Unknown)
        for line in _of(seen.ship)
    ]


def _of(ship: object) -> Iterator[str]:
    facts = ship if isinstance(ship, dict) else {}
    if (error := facts.get("postgres_error")) and facts.get("superseded_by") is None:
        yield f"ship gets nothing from Postgres: {error}"
    if stopped := facts.get("stopped"):
        yield f"this standby is given nothing more: {stopped}"
    if error := facts.get("next_epoch_error"):
        yield f"this standby can't tell what comes next: {error}"
    if since := _time(facts.get("degraded_since")):
        yield f"commits count as async since {since}: fewer than k vaults take them"
    if since := _time(facts.get("writes_stopped_since")):
        yield f"nobody may write since {since}: too much waits for vaults"
    yield from (str(line) for line in facts.get("alarms") or ())


def _time(value: object) -> str:
    return words.moment(value) if isinstance(value, int | float) else ""
