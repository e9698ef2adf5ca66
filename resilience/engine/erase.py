"""Erase: what the ledger says is gone, and no row names, leaves every vault; a vault that holds it back is told.

Of a picture that is kept apart the headers go, everywhere: the payload that a lock still holds then opens for nobody.

The primary's credentials can remove nothing, so this runs where the operator's are. The ledger is signed with a key
that the primary has: so an entry must have been seen here for `erase_after_days` before it counts, and a run that would
take much of a vault is refused unless somebody accepts it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from resilience.engine.mirror import mirrored
from resilience.engine.observe import read
from resilience.errors import Refused, ResilienceError
from resilience.model import Event, Fleet, SiteOutputs
from resilience.ports import Vault, World
from resilience.replication import layout
from resilience.replication.apart import openable
from resilience.replication.epoch import each, newest_of
from resilience.replication.originals import KeepsHidden, TellsLock

DAY = 86400.0
AT_ONCE = 8
MUCH, FEW = 0.1, 20
"""More than this share of a vault's pictures, and more than a few, is the hazard `mass-erasure`."""
HAZARD = "mass-erasure"


@dataclass(frozen=True)
class Gone:
    """What is to leave the vaults: pictures by the number of the entry that says so, of so many entries."""

    pictures: Mapping[str, int]
    named: frozenset[str]
    """Pictures that the ledger names and a row names still, or again: they stay."""
    through: int
    waiting: int
    """Entries that were not seen long enough ago."""


def erase(world: World, fleet: Fleet, *, really: bool, accepted: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Remove from each vault, or only say what would go; {through, waiting, named, put_back, vaults: {name: facts}}."""
    outputs = _serving(world, fleet)
    gone = _gone(world, fleet, outputs)
    doors: dict[str, Vault] = {**world.vaults, **mirrored(world, fleet)}
    listed = {
        name: a if isinstance(a, ResilienceError) else frozenset(a)
        for name, a in each(doors, lambda vault: vault.list(layout.MEDIA)).items()
    }
    reached = {name: keys for name, keys in listed.items() if not isinstance(keys, ResilienceError)}
    found: dict[str, Any] = {n: {"error": a.what} for n, a in listed.items() if isinstance(a, ResilienceError)}
    todo = {name: _todo(world, name, gone, keys) for name, keys in reached.items()}
    fresh = {name: _fresh(gone, keys, todo[name], _done(world, name)) for name, keys in reached.items()}
    much = {name: share for name, share in fresh.items() if share[0] > FEW and share[0] > MUCH * share[1]}
    if really and much and HAZARD not in accepted:
        raise _refuse(much)
    put_back, headers = 0, _headers(reached.values())

    def rid(name: str) -> Mapping[str, Any]:
        return _erase(doors[name], todo[name], reached[name], headers)

    if really:
        with ThreadPoolExecutor(max_workers=max(1, len(todo))) as pool:
            for name, facts in zip(todo, pool.map(rid, todo), strict=True):
                found[name] = facts
                world.log.append(Event(world.clock.now(), "erased", {"vault": name, "through": gone.through, **facts}))
        put_back = _second_look(world, outputs, gone, {n: k for n, k in reached.items() if n in world.vaults})
    else:
        found |= {name: {"would_erase": len(keys)} for name, keys in todo.items()}
    told = {"through": gone.through, "waiting": gone.waiting, "named": len(gone.named), "put_back": put_back}
    return {**told, "hazards": [HAZARD] if much else [], "vaults": {name: found[name] for name in doors}}


def _serving(world: World, fleet: Fleet) -> SiteOutputs:
    """The site whose rows say what survives: the one that may write, and only while its app serves."""
    epoch = newest_of(world.vaults, world.signer.verify)
    site = fleet.site(epoch.site) if epoch else fleet.primary
    outputs = world.clouds[site.name].outputs(site)
    if epoch is None or outputs is None or read(lambda: world.app.serving(outputs)) is not True:
        raise ResilienceError(
            f"{site.name} does not serve, so nobody knows which pictures rows still name.",
            "What any row names must stay in the vaults.",
            "Bring the app back, then run this again. Nothing was erased.",
        )
    return outputs


def _gone(world: World, fleet: Fleet, outputs: SiteOutputs) -> Gone:
    """What the ledger names, as far as it was seen long enough ago, without what a row names."""
    ledger = world.plane.removed()
    now = world.clock.now()
    sight = {"entries": ledger["entries"], "head": ledger["head"]}
    seen = [event.data for event in world.log.read() if event.kind == "ledger-seen"]
    if not seen or seen[-1] != sight:
        world.log.append(Event(now, "ledger-seen", sight))
    until = now - fleet.replication.erase_after_days * DAY
    sights = [event for event in _standing(world) if event.kind == "ledger-seen"]
    through = max((_reach(event) for event in sights if event.when <= until), default=0)
    through = min(through, int(ledger["entries"]))
    due = {name: number for name, number in ledger["pictures"].items() if number <= through}
    named = world.app.still_named(outputs, sorted(due)) if due else frozenset()
    left = {name: number for name, number in due.items() if name not in named}
    return Gone(left, named, through, int(ledger["entries"]) - through)


def _standing(world: World) -> list[Event]:
    """Sights of the ledger and runs by it, without those that reached entries which were gone since, or others.

    What stands under their numbers now was made later: nobody saw it then, and no vault was rid of it.
    """
    kept: list[Event] = []
    sight: Mapping[str, Any] = {}
    for event in world.log.read():
        if event.kind == "ledger-seen":
            entries = int(event.data["entries"])
            forked = sight.get("entries") == entries and sight["head"] != event.data["head"]
            kept = [old for old in kept if _reach(old) < entries or (_reach(old) == entries and not forked)]
            sight = event.data
        if event.kind in {"ledger-seen", "erased"}:
            kept.append(event)
    return kept


def _reach(event: Event) -> int:
    """Up to which entry it saw the ledger, or went by it."""
    return int(event.data["entries" if event.kind == "ledger-seen" else "through"])


def _todo(world: World, vault: str, gone: Gone, listed: frozenset[str]) -> list[str]:
    """What this vault shows, and what entries name that it was not yet rid of: older versions of that may be hidden."""
    done, shown = _done(world, vault), _shown(listed)
    return sorted(name for name, number in gone.pictures.items() if number > done or name in shown)


def _done(world: World, vault: str) -> int:
    """Up to which entry this vault was rid of everything that opens."""
    return max((_reach(event) for event in _erased(world, vault) if not event.data["refused"]), default=0)


def _shown(listed: frozenset[str]) -> frozenset[str]:
    """Pictures of which there is anything."""
    return frozenset(layout.picture(key) for key in listed)


def _erased(world: World, vault: str) -> Sequence[Event]:
    return [event for event in _standing(world) if event.kind == "erased" and event.data["vault"] == vault]


def _fresh(gone: Gone, listed: frozenset[str], names: Sequence[str], done: int) -> tuple[int, int]:
    """How many of the pictures that a vault shows would go, and of how many: without payloads that only wait for a lock."""
    readable = _shown(frozenset(key for key in listed if not _payload(key)))
    waiting = {name for name in names if gone.pictures[name] <= done and name not in readable}
    shown = _shown(listed) - waiting
    return len(shown & set(names)), len(shown)


def _refuse(much: Mapping[str, tuple[int, int]]) -> Refused:
    told = "; ".join(f"{name}: {there} of {shown}" for name, (there, shown) in much.items())
    return Refused(
        f"More than {MUCH:.0%} of the pictures would be erased ({told}).",
        "Whoever has the primary's host can sign entries that name every picture; erased copies never come back.",
        f"Look at the newest takedowns and erasures. If they are right: resilience erase --yes --accept {HAZARD}",
    )


def _erase(
    vault: Vault, pictures: Sequence[str], listed: frozenset[str], headers: Mapping[str, set[str]]
) -> Mapping[str, Any]:
    """Every version of each picture, in one vault; what it refuses is counted, and tried again by the next run."""
    parts = {picture: {layout.media(picture), *headers.get(picture, ())} for picture in pictures}
    for key in listed:
        if layout.picture(key) in parts:
            parts[layout.picture(key)].add(key)
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=f"erase-{vault.name}") as pool:
        answers = list(pool.map(lambda picture: _held_back(vault, picture, parts[picture]), pictures))
    refused = [why for held in answers for key, why in held.items() if not _payload(key)]
    locked = [key for held in answers for key in held if _payload(key)]
    readable = sum(any(not _payload(key) for key in held) for held in answers)
    return {
        "erased": sum(not held for held in answers),
        "refused": readable,
        **({"why": refused[0]} if refused else {}),
        **({"payloads": len(locked), "until": _until(vault, locked)} if locked else {}),
    }


def _headers(listed: Iterable[frozenset[str]]) -> Mapping[str, set[str]]:
    """By picture, what the header of each part is called that any vault shows: one vault's list may be stale."""
    found: dict[str, set[str]] = {}
    for part in (layout.part(key) for keys in listed for key in keys):
        if part:
            found.setdefault(part.picture, set()).add(layout.header(part.picture, part.payload))
    return found


def _payload(key: str) -> bool:
    """Whether this is the part that opens for nobody without its header."""
    part = layout.part(key)
    return part is not None and not part.is_header


def _held_back(vault: Vault, picture: str, keys: set[str]) -> Mapping[str, str]:
    """What is still there of a picture, and why; parts that somebody hid by a plain delete are found too."""
    held = {}
    try:
        hidden = vault.hidden(layout.parts(picture)) if isinstance(vault, KeepsHidden) else ()
    except ResilienceError as error:
        hidden, held[layout.media(picture)] = (), _told(error)
    for key in sorted({*keys, *hidden}):
        try:
            vault.erase(key)
        except ResilienceError as error:
            held[key] = _told(error)
    return held


def _told(error: ResilienceError) -> str:
    return f"{error.what}: {error.why}"[:300]


def _until(vault: Vault, keys: Sequence[str]) -> float | None:
    """When the store lets the last of these go; None where it does not say."""
    if not isinstance(vault, TellsLock):
        return None
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool, suppress(ResilienceError):
        return max((at for at in pool.map(vault.locked_until, keys) if at is not None), default=None)
    return None


def _second_look(world: World, outputs: SiteOutputs, gone: Gone, listed: Mapping[str, frozenset[str]]) -> int:
    """Who uploaded one of them meanwhile may have found it there still: what a row names now is shipped again."""
    again = world.app.still_named(outputs, sorted(gone.pictures)) if gone.pictures else frozenset()
    headers = frozenset().union(*listed.values())
    has = [openable(keys, headers) for keys in listed.values()]
    lacking = {name for name in gone.named if any(name not in held for held in has)}
    wanted = sorted(again | lacking)
    return world.app.ship_again(outputs, wanted) if wanted else 0
