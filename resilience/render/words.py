"""Plain words for numbers and for the verdict: the same in the report, on the screen and in a mail."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, datetime

from resilience.model import Stage, Verdict

UNKNOWN = "not known"


def seconds(value: float | None) -> str:
    """`0.4 s`, `71.1 s`, `12 min 5 s`; a promise of 90.0 is `90 s`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value >= 600:  # noqa: PLR2004 - ten minutes
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s"
    return f"{value:.1f}".removesuffix(".0") + " s"


def measured(value: float | None) -> str:
    """Measured seconds keep their decimal: `71.0 s`."""
    return f"{value:.1f} s" if value is not None and -math.inf < value < 600 else seconds(value)  # noqa: PLR2004


def counted(value: int | None) -> str:
    """`1,300`, or that it is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 write`, `1,300 writes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(value: int | None) -> str:
    """Bytes as people say them: `48.3 MB`."""
    if value is None:
        return UNKNOWN
    amount, unit = float(value), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004
            break
        amount, unit = amount / 1000, larger
    return f"{value:,} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def moment(at: float) -> str:
    """A moment in UTC, to the second."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def clock(at: float) -> str:
    """Time of the day in UTC, to the hundredth: what a line of a log would say."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-4]
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def joined(names: object) -> str:
    """`acorn`, `acorn and elm`, `acorn, elm and birch`; what is no list, in a strange journal, as it is."""
    listed = (
        [str(name) for name in names] if isinstance(names, Collection) and not isinstance(names, str) else [str(names)]
    )
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def outcome(verdict: Verdict) -> str:
    """The one word that comes first."""
    return verdict.verdict.capitalize()


def how_far(at: Stage) -> str:
    """How far a site is open, and what opens it further; empty where everybody is let in."""
    if at == Stage.SIGN_UPS:
        return ""
    seen = "closed" if at == Stage.CLOSED else f"open up to {at}"
    return f"It is {seen}: `resilience open sign-ups` opens it further."


def serves(site: str, at: Stage, where: str) -> str:
    """That a site serves there, and how far it is open; of a closed one nobody is told that it does."""
    said = f"{site} is ready, and serves nobody yet." if at == Stage.CLOSED else f"{site} serves {where}"
    return f"{said} {how_far(at)}".rstrip()


def headline(verdict: Verdict) -> str:
    """One or two sentences: back when, lost how much."""
    said = _rehearsed(verdict) if verdict.fault == "rehearsal" else f"{_back(verdict)} {_lost(verdict)}"
    return f"Simulated, not measured: {said[0].lower()}{said[1:]}" if verdict.simulated else said


def _rehearsed(verdict: Verdict) -> str:
    """A user by address, and the time that the name would have taken on top."""
    rto = verdict.rto
    if rto.measured_s is None or rto.ttl_s is None:
        return "Nobody got through at the rehearsal's site."
    return (
        f"A user got through by address after {measured(rto.measured_s)}; with the name's TTL of {seconds(rto.ttl_s)} "
        f"that is {measured(rto.measured_s + rto.ttl_s)} of {seconds(rto.promise_s)}."
    )


def _back(verdict: Verdict) -> str:
    rto = verdict.rto
    promised = "" if rto.promise_s is None else f", promised {seconds(rto.promise_s)}"
    if rto.measured_s is None:
        return f"When users were back is not known{promised}."
    return f"Back in {measured(rto.measured_s)}{promised}."


def _lost(verdict: Verdict) -> str:
    rpo = verdict.rpo
    if rpo.lost is None:
        return "How many writes were lost is not known."
    of = "" if rpo.acknowledged is None else f" of {rpo.acknowledged:,} acknowledged"
    if rpo.lost == 0:
        sure = "No acknowledged write was lost" if rpo.measured_s is not None else "No lost write was found"
        return f"{sure}{f' ({rpo.acknowledged:,} were)' if rpo.acknowledged and rpo.measured_s is not None else ''}."
    oldest = "" if rpo.measured_s is None else f", the oldest {measured(rpo.measured_s)} before the fault"
    return f"{plural(rpo.lost, 'write')}{of}{' was' if rpo.lost == 1 else ' were'} lost{oldest}."


def with_person(verdict: Verdict) -> str:
    """What the users would have seen with a person deciding first; empty where it is not known."""
    rto = verdict.rto
    if rto.with_person_s is None or rto.promise_s is None or not rto.human_decide_s:
        return ""
    return (
        f"With the {seconds(rto.human_decide_s)} declared for a person to decide: "
        f"{measured(rto.with_person_s)} of {seconds(rto.promise_s + rto.human_decide_s)}."
    )
