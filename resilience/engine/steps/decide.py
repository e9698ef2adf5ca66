"""Decide: from here on one site may write, and no other."""

from __future__ import annotations

import secrets

from resilience.engine.run import Facts, Run
from resilience.errors import Refused
from resilience.model import EpochRecord, Step
from resilience.replication.epoch import attest, make_record, rivals_of, seal_record, to_fence


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
    return _sealed(run, record)


def _sealed(run: Run, record: EpochRecord) -> Facts:
    """Seal for good: whichever of the epochs before it was sealed, its site can't go on.

    Forced, only the new set's own quorum is asked, and nothing says that the old site was fenced: it may not be.
    """
    vaults, check = run.world.vaults, run.world.signer.verify
    olds = () if run.plan.forced else to_fence(vaults, record.parent, check)
    sealed = seal_record(vaults, record, olds, check)
    whole = run.world.clock.uptime()
    if not run.plan.forced:
        attest({name: vaults[name] for name in sealed}, record, run.world.signer.sign)
    facts = {"epoch": record.number, "vaults": list(sealed), "nonce": record.nonce}
    return {**facts, "boot": whole.boot, "uptime_s": whole.seconds}


def _seal_on(run: Run, record: EpochRecord) -> Facts:
    """Go on with a seal of ours: what was whole stays whole, else all sets' quorums are needed as before."""
    if run.sealed(record) is not None:
        return {"epoch": record.number, "nonce": record.nonce, "already": True}
    return _sealed(run, record)


def _new_record(run: Run, step: Step, old: EpochRecord | None) -> EpochRecord:
    number = int(step.args["number"])
    signer = run.world.signer
    continues = step.args.get("continues")
    if continues is None:  # with its parent's key it would pass for one that goes on, and the old site for it
        signer.start_anew(step.subject, number)
    else:
        signer.carry_over(step.subject, int(continues), number)
    return make_record(
        number=number,
        site=step.subject,
        nonce=secrets.token_hex(16),
        parent=old.number if old else 0,
        vaults=tuple(step.args["vaults"]),
        k=int(step.args["k"]),
        s=int(step.args["s"]),
        sealed_at=run.world.clock.now(),
        signer=signer.site_key(step.subject, number),
        sign=signer.sign,
    )
