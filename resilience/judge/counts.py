"""Counted facts: pictures, takedowns, the fence, calls to the lost vendors, and how much data there was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from resilience.judge.clocks import Recovery
from resilience.judge.evidence import Evidence, Findings, Impossible, count, listed, mapping, names, plural
from resilience.model import Blackhole, DataSizes, Event, Fence, Media, Takedowns


def media(evidence: Evidence, findings: Findings) -> Media:
    """Pictures of surviving rows: missing or corrupt ones break the promise; none looked at proves nothing."""
    with findings.part("Pictures"):
        data = evidence.last("media-checked").data
        found = Media(*(count(data.get(key), f"`media-checked` {key}") for key in ("objects", "missing", "corrupt")))
        if found.missing:
            findings.missed.append(f"Pictures: {plural(found.missing, 'picture')} missing for rows that survived.")
        if found.corrupt:
            findings.missed.append(f"Pictures: {plural(found.corrupt, 'picture')} came back altered.")
        if not found.objects:
            findings.unknown.append("Pictures: none was looked at, so nothing shows that they came back.")
        return found
    return Media()


def takedowns(evidence: Evidence, findings: Findings) -> Takedowns:
    """A drill's takedowns: the ledger knows each that was acknowledged, and none is back, as the app says and as users see."""
    found = takedowns_there(evidence, findings)
    with findings.part("Takedowns"):
        early = [event.data.get("takedowns") for event in evidence.kind("data")]
        told = [names(event.data.get("posts"), "what was taken down") for event in evidence.kind("taken-down")]
        late = [post for posts in told for post in posts]
        issued = count(early[-1] if early else None, "how many posts the drill took down") + len(late)
        known = found.issued
        found = replace(found, issued=issued)
        if known is not None and known < issued:
            findings.missed.append(f"Takedowns: of {issued:,} that were acknowledged, the ledger knows {known:,}.")
        if not issued:
            findings.unknown.append(
                "Takedowns: the drill took nothing down, so nothing shows that the ledger is replayed."
            )
        if shown := _seen_again(evidence, late, findings):
            found = replace(found, resurrected=max(found.resurrected or 0, shown))
    return found


def _seen_again(evidence: Evidence, late: Sequence[str], findings: Findings) -> int:
    """How many of the posts that were taken down after the snapshot users can see; in doubt where not all were asked for."""
    if not late:
        return 0
    seen = evidence.last("takedowns-seen").data
    shown = names(seen.get("shown"), "the taken-down posts that users see")
    if shown:
        findings.missed.append(f"Takedowns: users see {plural(len(shown), 'taken-down post')} again.")
    unsure = names(seen.get("unchecked"), "the taken-down posts that could not be looked for")
    unsure += tuple(set(late) - set(names(seen.get("asked"), "the taken-down posts that were looked for")))
    if unsure:
        findings.unknown.append(f"Takedowns: users did not look for {plural(len(unsure), 'taken-down post')}.")
    return len(shown)


def takedowns_there(evidence: Evidence, findings: Findings) -> Takedowns:
    """Takedowns that the site's ledger knows: one that was back at any check breaks the promise; none proves nothing."""
    with findings.part("Takedowns"):
        evidence.last("takedowns-checked")
        checks = evidence.later("takedowns-checked")
        found = Takedowns(_least(checks, "issued"), _most(checks, "resurrected"))
        if found.resurrected:
            findings.missed.append(f"Takedowns: {plural(found.resurrected, 'taken-down post')} could be seen again.")
        if not found.issued:
            findings.unknown.append("Takedowns: none was issued, so nothing shows that the ledger is replayed.")
        return found
    return Takedowns()


def fence(evidence: Evidence, findings: Findings) -> Fence:
    """The fence: one write taken by the old site and absent at the new breaks it; none tried proves nothing."""
    with findings.part("Fence"):
        evidence.last("fence")
        tries = evidence.later("fence")
        found = Fence(_most(tries, "attempts"), _most(tries, "accepted"))
        if found.accepted:
            findings.missed.append(
                f"Fence: the old site acknowledged {plural(found.accepted, 'write')} that the new site does not have."
            )
        if not found.attempts:
            findings.unknown.append("Fence: no write was tried at the old site, so nothing shows that it is fenced.")
        return found
    return Fence()


def accepted_end(evidence: Evidence, findings: Findings) -> str | None:
    """Where somebody accepted that a broken chain ends: what lies past it is lost, and that is never a success."""
    with findings.part("Chain"):
        for event in evidence.kind("end-accepted")[-1:]:
            end, missing = str(event.data["end"]), str(event.data["missing"])
            findings.missed.append(f"Chain: it was accepted to end at {end}. {missing} is in no vault.")
            return end
    return None


DAMAGING = {"hijack": "objects", "bit-rot": "changed"}
"""Faults that damage copies as well, and which count of a vault shows that it was really tried there."""


def damage(evidence: Evidence, findings: Findings) -> None:
    """Damage to copies: a fault that says so and did none proves nothing."""
    with findings.part("Damage"):
        fault = evidence.fault.data.get("fault") if evidence.fault else None
        if evidence.fault is None or fault not in DAMAGING:
            return
        done = mapping(evidence.fault.data.get("damage"), "what was done to the copies")
        tried = sum(count(mapping(one, "one vault's damage").get(DAMAGING[fault]), "damage") for one in done.values())
        if not tried:
            findings.unknown.append(f"Damage: {fault} touched no copy, so nothing shows that damage is survived.")


def blackhole(evidence: Evidence, back: Recovery | None, findings: Findings) -> Blackhole:
    """Attempts to call the lost vendors. A 0 counts only when every host was counted until the users were back."""
    result = Blackhole()
    with findings.part("Black hole"):
        if evidence.fault is None:
            raise Impossible("the journal has no fault")
        lost = names(evidence.fault.data.get("vendors"), "the vendors that are lost")
        result = Blackhole(lost)
        last = evidence.last("blackhole")
        calls = max(_attempts(event) for event in evidence.later("blackhole"))
        result = Blackhole(names(last.data.get("vendors"), "the vendors that were counted"), calls or None)
        if calls:
            named = _named(evidence.later("blackhole"))
            findings.missed.append(f"Black hole: a lost vendor was called {plural(calls, 'time')}: {named}.")
        doubts = _blackhole_doubts(evidence, last, lost, back)
        findings.unknown.extend(f"Black hole: {doubt}." for doubt in doubts)
        if not doubts:
            result = Blackhole(result.vendors, calls)
    return result


def _named(events: Sequence[Event]) -> str:
    """Who called whom, each once: `operator to 198.18.1.3:80 (acorn)`."""
    calls = [call for event in events for call in listed(event.data.get("calls"), "the calls to lost vendors")]
    said = [f"{c.get('from')} to {c.get('address')}:{c.get('port')} ({c.get('vendor')})" for c in calls]
    return ", ".join(dict.fromkeys(said))


def _attempts(event: Event) -> int:
    """How many attempts one count holds (older journals tell packets); a call without a number is at least one."""
    calls = listed(event.data.get("calls"), "the calls to lost vendors")
    return sum(max(1, count(attempts_of(mapping(call, "a call")), "attempts of a call")) for call in calls)


def attempts_of(call: Mapping[str, Any]) -> Any:
    """What a journal says of how often this was tried."""
    return call.get("attempts", call.get("packets", 1))


def _blackhole_doubts(evidence: Evidence, last: Event, lost: Sequence[str], back: Recovery | None) -> list[str]:
    doubts = []
    if last.data.get("complete") is not True:
        doubts.append("the count is not complete")
    uncounted = [vendor for vendor in lost if vendor not in last.data.get("vendors", ())]
    if uncounted:
        doubts.append(f"calls to {', '.join(uncounted)} were not counted")
    if back is not None and _line(evidence, last) < back.line:
        doubts.append("the count was read before the users were back")
    return doubts


def _line(evidence: Evidence, event: Event) -> int:
    """Where this very line stands after the fault."""
    return next(i for i, other in enumerate(evidence.after) if other is event)


def data_sizes(evidence: Evidence, findings: Findings) -> DataSizes:
    """How much data came along; a drill of an empty app proves nothing."""
    with findings.part("Data"):
        found = evidence.kind("data")
        if not found:
            raise Impossible("the journal does not say how much data there was")
        sizes = _sizes(found[-1].data)
        if not sizes.db_bytes:
            findings.unknown.append("Data: the database was empty, so nothing shows that data comes back.")
        return sizes
    return DataSizes()


def _sizes(data: Mapping[str, Any]) -> DataSizes:
    return DataSizes(count(data.get("db_bytes"), "db_bytes"), count(data.get("media_bytes"), "media_bytes"))


def _most(events: Sequence[Event], key: str) -> int:
    """The highest count at any check: what was seen once cannot be unseen."""
    return max(count(event.data.get(key), f"`{event.kind}` {key}") for event in events)


def _least(events: Sequence[Event], key: str) -> int:
    """The lowest count at any check: what was not known once was not known while somebody could look."""
    return min(count(event.data.get(key), f"`{event.kind}` {key}") for event in events)
