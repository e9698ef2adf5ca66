"""Data: database, pictures and ledger onto the host, and out of it again into the vaults."""

from __future__ import annotations

from resilience.decide.gates import LOSE_PICTURES
from resilience.decide.quorum import orders_missed
from resilience.engine.accepting import way_past
from resilience.engine.broken_chain import accepted_end
from resilience.engine.looking import app_facts, note_media
from resilience.engine.observe import read
from resilience.engine.orders import Listing, listing, not_obeyed
from resilience.engine.run import Facts, Run
from resilience.errors import ResilienceError, ShortRecovery, TooFewVaults
from resilience.model import EpochRecord, Event, Step, Unknown
from resilience.ports import Merged
from resilience.replication import lsn
from resilience.replication.epoch import to_read


def create(run: Run, step: Step) -> Facts:
    """Make an empty database on the first day."""
    site = run.fleet.site(step.subject)
    return run.world.plane.create(site, run.outputs(site.name), run.epoch(site.name))


def follow(run: Run, step: Step) -> Facts:
    """Follow the primary from the vaults, if another site is the primary."""
    site = run.fleet.site(step.subject)
    return run.world.plane.follow(site, run.outputs(site.name), run.to_tell(site.name, run.others_epoch(site.name)))


def warm(run: Run, step: Step) -> Facts:
    """Have the standby's host load what it needs, so that it waits for nothing but the lease; none needs this to work."""
    site = run.fleet.site(step.subject)

    def load() -> None:
        run.world.plane.warm(site, run.outputs(site.name))
        run.world.app.warm(run.outputs(site.name))

    warmed = read(load)
    return {"why_not": warmed.why} if isinstance(warmed, Unknown) else {}


def restore(run: Run, step: Step) -> Facts:
    """Snapshot and merged chain onto the host."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    until = step.args.get("until")
    merged = run.world.plane.restore(site, run.outputs(site.name), epoch, accepted_end(run), until)
    if until is None:
        _refuse_less(run, epoch, merged)
    elif merged.end_lsn != until["lsn"]:
        raise ShortRecovery(
            f"The copy ends at {merged.end_lsn}, and {until['lsn']} was asked for.",
            "An earlier attempt under this epoch recorded another end.",
            "Nothing was promoted. Plan again (`resilience restore`): the new plan seals the epoch after this one.",
        )
    return {
        "snapshot": merged.snapshot,
        "from": merged.snapshot_vault,
        "end_lsn": merged.end_lsn,
        "chunks": merged.chunks,
        "healed": list(merged.healed),
        "restic_s": merged.restic_s,
    }


def _refuse_less(run: Run, epoch: EpochRecord, merged: Merged) -> None:
    """Where the old site said what it wrote last, the vaults must reach that far."""
    for event in _stood_down(run, epoch):
        if lsn.parse(merged.end_lsn) < lsn.parse(str(event.data["end_lsn"])):
            raise ShortRecovery(
                f"The vaults end at {merged.end_lsn}, and {event.data['site']} wrote up to {event.data['end_lsn']}.",
                "Promoting now would lose writes that were acknowledged.",
                f"Nothing was promoted. Let ship run on {event.data['site']} until it is done; run this again.",
            )


def _stood_down(run: Run, epoch: EpochRecord) -> list[Event]:
    """What the old site said when it stopped for this epoch, by an attempt each; none where it did not."""
    return [e for e in run.world.log.read() if e.kind == "stood-down" and e.data["nonce"] == epoch.nonce]


def recover(run: Run, step: Step) -> Facts:
    """Replay to the end of the chain and promote, if the epoch is still ours."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    ends = [str(event.data["end_lsn"]) for event in _stood_down(run, epoch)]
    last = max(ends, key=lsn.parse, default=None)
    recovered = run.world.plane.recover(site, run.outputs(site.name), epoch, last)
    return {
        "switch_lsn": recovered.switch_lsn,
        "timeline": recovered.timeline,
        "end_lsn": recovered.end_lsn,
        "replay_s": recovered.replay_s,
        "skipped": recovered.skipped,
    }


def first(run: Run, step: Step) -> Facts:
    """Bring of the pictures what the app needs before anybody is let in."""
    site = run.fleet.site(step.subject)
    return {"fetched": run.world.plane.fetch_first(site, run.outputs(site.name))}


def media(run: Run, step: Step) -> Facts:
    """Bring all other pictures; an error where some can't be had although nothing may be lost."""
    site = run.fleet.site(step.subject)
    fetched = run.world.plane.fetch_media(site, run.outputs(site.name))
    found = app_facts(run, site.name)["media"]
    missing = found["missing"]
    note_media(run, found, len(missing))
    if missing and not run.accepts(run.epoch(site.name), *LOSE_PICTURES):
        raise ResilienceError(
            f"{len(missing)} pictures that rows name could not be brought to {site.name}.",
            f"{', '.join(missing[:3])}: no vault that answers gives them as they were.",
            "The site serves without them. Bring a vault back and run the same command again; where they are gone for "
            f"good, {way_past(run, 'loses-pictures', site.name)}.",
        )
    return {"fetched": fetched, "missing": len(missing)}


def fetch(run: Run, step: Step) -> Facts:
    """Bring the ledger, while the copy is brought: whoever might still add to it was fenced before."""
    site = run.fleet.site(step.subject)
    return {"held": run.world.plane.fetch_ledger(site, run.outputs(site.name))}


def ledger(run: Run, step: Step) -> Facts:
    """Apply the whole ledger, before anybody can read; bring it where this plan has not."""
    outputs = run.outputs(step.subject)
    held = int((run.found("fetch", step.subject) or fetch(run, step))["held"])
    replayed = dict(run.world.app.replay_ledger(outputs))
    if absent := replayed.pop("keys_absent", ()):
        run.world.plane.fetch_media(run.fleet.site(step.subject), outputs, absent)
    if int(replayed["entries"]) < held:
        raise ResilienceError(
            f"The ledger holds {held} entries, and the app applied only {replayed['entries']}.",
            "What was taken down could be read again.",
            "Nothing was opened. Look at the app's own log on the host, then run this again.",
        )
    return {"held": held, **replayed, **_obey(run, step.subject)}


def _obey(run: Run, site: str) -> Facts:
    """What an authority ordered down stays down, whatever the copies that were brought back hold; what nobody can obey is told."""
    listed = listing(run.world, run.world.vaults)
    if listed.silent:
        _refuse_missed(run, listed)
    outputs, done, told = run.outputs(site), 0, list[str]()
    for order in listed.orders:
        if order.down:
            taken = run.world.app.take_down(outputs, order.down, f"{order.authority}, {order.reference}")
            done += taken.count
            told += [said] if (said := not_obeyed(order, taken.no_posts)) else []
    return {"ordered_down": done, **({"not_obeyed": told} if told else {})}


def _refuse_missed(run: Run, listed: Listing) -> None:
    """Orders lie in the vaults of the epochs that this one goes on from; where the plan sealed none, in its own."""
    epoch = run.newest()
    sealed = bool(epoch.parent) and any(step.action == "seal" for step in run.plan.steps)
    records = to_read(run.world.vaults, epoch.parent, run.world.signer.verify) if sealed else [epoch]
    doubt = orders_missed(records, run.world.vaults.keys() - listed.silent.keys())
    if doubt and not run.accepts(epoch, "missed-order"):
        raise TooFewVaults(
            f"Not every vault says what was ordered down: {doubt}.",
            "; ".join(f"{name}: {error.why}" for name, error in listed.silent.items()),
            "Nothing was opened. Bring a vault back and run the same command again; where they are gone for good, "
            f"{way_past(run, 'missed-order', epoch.site)}.",
        )


def ship(run: Run, step: Step) -> Facts:
    """Start shipping under the epoch."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    run.world.plane.start_ship(site, run.outputs(site.name), epoch)
    return {"epoch": epoch.number, "vaults": list(epoch.vaults)}


def lease(run: Run, step: Step) -> Facts:
    """Wait until the old site's lease has run out: it could renew it until the seal was whole."""
    lapse_s = float(step.args.get("seconds", run.fleet.replication.lapse_s))  # absent in plans of earlier versions
    left = max(0.0, lapse_s - run.since_seal(run.epoch(step.subject)))
    if left:
        run.world.clock.sleep(left)
    return {"waited_s": round(left, 3)}
