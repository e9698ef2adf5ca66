"""One function an action. Each reads its facts again and returns what it found or did."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import stamina

from resilience.engine.observe import read
from resilience.engine.run import Run
from resilience.errors import Refused, ResilienceError, TooFewVaults
from resilience.model import EpochRecord, Step, Unknown
from resilience.replication.epoch import each, make_record, rivals_of, seal_record

Facts = Mapping[str, Any]
RESURRECTED = "taken-down posts can be seen again"


def supplies(run: Run, step: Step) -> Facts:
    """Put what hosts are set up from into every vault."""
    return run.world.supplies.put()


def seal(run: Run, step: Step) -> Facts:
    """Seal the plan's epoch, unless this journal already did."""
    world, number = run.world, int(step.args["number"])
    before = rivals_of(world.vaults, world.signer.verify)
    old = before[0] if before else None
    if old is not None and old.number >= number:
        for record in before:
            if record.nonce in run.nonces():
                return _seal_on(run, record)
        raise Refused(
            f"Epoch {old.number} was sealed by somebody else, for {old.site}.",
            "Only the machine that sealed an epoch may go on with it.",
            "Plan again: the new plan seals the epoch after that one.",
        )
    record = _new_record(run, step, old)
    run.note("sealing", number=number, nonce=record.nonce)
    return _sealed(run, record, before)


def _sealed(run: Run, record: EpochRecord, before: Sequence[EpochRecord]) -> Facts:
    """Seal for good: whichever of several epochs with the number before it was sealed, its site can't go on."""
    olds: Sequence[EpochRecord | None] = before or [None]
    for old in olds:
        sealed = seal_record(run.world.vaults, record, old, run.world.signer.verify)
    return {"epoch": record.number, "vaults": list(sealed), "nonce": record.nonce}


def _seal_on(run: Run, record: EpochRecord) -> Facts:
    """Go on with a seal of ours: what was whole stays whole, else both sets' quorums are needed as before."""
    if run.sealed_at(record) is not None:
        return {"epoch": record.number, "nonce": record.nonce, "already": True}
    return _sealed(run, record, run.before(record))


def _new_record(run: Run, step: Step, old: EpochRecord | None) -> EpochRecord:
    number = int(step.args["number"])
    return make_record(
        number=number,
        site=step.subject,
        nonce=secrets.token_hex(16),
        parent=old.number if old else 0,
        vaults=tuple(step.args["vaults"]),
        k=int(step.args["k"]),
        s=int(step.args["s"]),
        sealed_at=run.world.clock.now(),
        signer=run.world.signer.site_key(step.subject, number),
        sign=run.world.signer.sign,
    )


def provision(run: Run, step: Step) -> Facts:
    """Make the site's hosts."""
    site = run.fleet.site(step.subject)
    return run.world.clouds[site.name].up(site).to_json()


def shape(run: Run, step: Step) -> Facts:
    """Bring the host into shape from supplies."""
    site = run.fleet.site(step.subject)
    return run.world.plane.shape(site, run.outputs(site.name), run.epoch(site.name))


def create(run: Run, step: Step) -> Facts:
    """Make an empty database on the first day."""
    site = run.fleet.site(step.subject)
    return run.world.plane.create(site, run.outputs(site.name), run.epoch(site.name))


def restore(run: Run, step: Step) -> Facts:
    """Snapshot and merged chain onto the host."""
    site = run.fleet.site(step.subject)
    merged = run.world.plane.restore(site, run.outputs(site.name), run.epoch(site.name))
    return {
        "snapshot": merged.snapshot,
        "from": merged.snapshot_vault,
        "end_lsn": merged.end_lsn,
        "chunks": merged.chunks,
        "healed": list(merged.healed),
    }


def recover(run: Run, step: Step) -> Facts:
    """Replay to the end of the chain and promote, if the epoch is still ours."""
    site = run.fleet.site(step.subject)
    recovered = run.world.plane.recover(site, run.outputs(site.name), run.epoch(site.name))
    return {
        "switch_lsn": recovered.switch_lsn,
        "timeline": recovered.timeline,
        "end_lsn": recovered.end_lsn,
    }


def media(run: Run, step: Step) -> Facts:
    """Bring the pictures that the host lacks."""
    site = run.fleet.site(step.subject)
    return {"fetched": run.world.plane.fetch_media(site, run.outputs(site.name))}


def ledger(run: Run, step: Step) -> Facts:
    """Bring the ledger and apply it, before anybody can read."""
    site = run.fleet.site(step.subject)
    outputs = run.outputs(site.name)
    held = run.world.plane.fetch_ledger(site, outputs)
    replayed = run.world.app.replay_ledger(outputs)
    if int(replayed["entries"]) < held:
        raise ResilienceError(
            f"The ledger holds {held} entries, and the app applied only {replayed['entries']}.",
            "What was taken down could be read again.",
            "Nothing was opened. Look at the app's own log on the host, then run this again.",
        )
    return {"held": held, **replayed}


def ship(run: Run, step: Step) -> Facts:
    """Start shipping under the epoch."""
    site = run.fleet.site(step.subject)
    epoch = run.epoch(site.name)
    run.world.plane.start_ship(site, run.outputs(site.name), epoch)
    return {"epoch": epoch.number, "vaults": list(epoch.vaults)}


def lease(run: Run, step: Step) -> Facts:
    """Wait until the old site's lease has run out: it could renew it until the seal was whole."""
    rules, epoch = run.fleet.replication, run.epoch(step.subject)
    until = (run.sealed_at(epoch) or run.world.clock.now()) + rules.lease_s + rules.drift_s
    left = max(0.0, until - run.world.clock.now())
    if left:
        run.world.clock.sleep(left)
    return {"waited_s": round(left, 3)}


def start(run: Run, step: Step) -> Facts:
    """Start the app on the site's host, if the epoch is still ours."""
    run.epoch(step.subject)
    outputs = run.outputs(step.subject)
    run.world.app.start(outputs)
    return {"address": outputs.addresses[0]}


def verify(run: Run, step: Step) -> Facts:
    """Compare rows, pictures and takedowns, and let a user through by address."""
    outputs = run.outputs(step.subject)
    facts = run.world.app.facts(outputs)
    found, taken = facts["media"], facts["takedowns"]
    run.note("media-checked", **{k: found[k] for k in ("objects", "missing", "corrupt")})
    run.note("takedowns-checked", **{k: taken[k] for k in ("issued", "resurrected")})
    if taken["resurrected"]:
        raise ResilienceError(
            f"On {step.subject} {RESURRECTED}: {', '.join(map(str, taken['resurrected'][:5]))}.",
            "The ledger was replayed, and the app still shows them.",
            "The name was not moved. Stop the app there and look at its ledger.",
        )
    walked = run.world.outside.journey(outputs.addresses[0])
    return {"rows": facts["posts"], "missing": len(found["missing"]), "journey": list(walked.steps)}


def point(run: Run, step: Step) -> Facts:
    """Let one DNS vendor serve the site's address, if the epoch is still ours."""
    site = str(step.args["site"])
    run.epoch(site)
    names, outputs = run.fleet.names, run.outputs(site)
    run.world.zones[step.subject].point(names.host, outputs.addresses[:1], names.ttl_s)
    return {"host": names.host, "address": outputs.addresses[0], "ttl_s": names.ttl_s}


def confirm(run: Run, step: Step) -> Facts:
    """Repeat a user's journey by name until it succeeds, for at most two lifetimes of the TTL."""
    run.epoch(step.subject)
    address = run.outputs(step.subject).addresses[0]
    names = run.fleet.names
    limit = 2 * names.ttl_s + 30
    attempts = 0
    for attempt in stamina.retry_context(
        on=ResilienceError, attempts=None, timeout=limit, wait_initial=0.25, wait_max=0.5
    ):
        with attempt:
            attempts += 1
            walked = run.world.outside.journey()
            if walked.address != address:
                raise ResilienceError(
                    f"{names.host} still leads to {walked.address}.",
                    "Resolvers keep an old answer for its TTL.",
                    "Run the same command again; the name was moved.",
                )
    at = run.world.clock.now()
    run.note("journey", ok=True, at=at, by="name", address=walked.address, steps=list(walked.steps))
    return {"attempts": attempts}


def protect(run: Run, step: Step) -> Facts:
    """Take a snapshot into each vault and have another principal verify it."""
    site = run.fleet.site(step.subject)
    taken = run.world.plane.snapshot(site, run.outputs(site.name))
    with ThreadPoolExecutor(max_workers=max(1, len(taken))) as pool:
        looked = pool.map(lambda pair: (pair[0], read(lambda: run.world.plane.verify_snapshot(*pair))), taken.items())
        found = dict(looked)
    good = [vault for vault, whole in found.items() if whole is True]
    doubts = {v: w.why if isinstance(w, Unknown) else "not whole" for v, w in found.items() if w is not True}
    if not good:
        raise ResilienceError(
            "No vault holds a snapshot that could be verified.",
            f"Taken: {dict(taken)}; read back: {doubts}.",
            "The site serves, unprotected. Run the same command again; see `resilience status`.",
        )
    run.note("protected-again", vaults=good, snapshot=taken[good[0]])
    return {"snapshots": dict(taken), "verified": good, "doubts": doubts}


def state(run: Run, step: Step) -> Facts:
    """Keep the stack's state in the vaults, as a new object each time it changed."""
    site = run.fleet.site(step.subject)
    exported = run.world.clouds[site.name].state(site)
    if exported is None:
        return {"bytes": 0, "vaults": []}
    epoch = run.epoch(site.name) if run.plan.kind == "failover" else None
    names = epoch.vaults if epoch else tuple(run.world.vaults)
    key = f"state/{site.name}/{run.world.clock.now():.0f}.json"
    vaults = {name: run.world.vaults[name] for name in names if name in run.world.vaults}
    answers = each(vaults, lambda vault: vault.put_new(key, exported))
    held = [name for name, answer in answers.items() if not isinstance(answer, ResilienceError)]
    doubts = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
    if not held:
        raise TooFewVaults(
            f"The state of {site.name}'s stack is in no vault.",
            f"{doubts}. Without it another machine could not take the site over.",
            "Bring a vault back and run the same command again.",
        )
    return {"bytes": len(exported), "vaults": held, "key": key, "doubts": doubts}
