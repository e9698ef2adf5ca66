"""What each action of a plan does, one file a phase. Each reads its facts again and returns what it found or did."""

from __future__ import annotations

from collections.abc import Callable

from resilience.engine.run import Facts, Run
from resilience.engine.steps import data, decide, hand_over, name, protect, provision, start, vaults
from resilience.model import Step

Action = Callable[[Run, Step], Facts]
ACTIONS: dict[str, Action] = {
    "supplies": provision.supplies,
    "seal": decide.seal,
    "provision": provision.provision,
    "recognize": provision.recognize,
    "shape": provision.shape,
    "follow": data.follow,
    "create": data.create,
    "restore": data.restore,
    "recover": data.recover,
    "first": data.first,
    "media": data.media,
    "ledger": data.ledger,
    "fetch": data.fetch,
    "warm": data.warm,
    "ship": data.ship,
    "lease": data.lease,
    "prepare": hand_over.prepare,
    "ahead": hand_over.ahead,
    "clear": hand_over.clear,
    "snapshot": hand_over.snapshot,
    "drain": hand_over.drain,
    "stand-down": hand_over.stand_down,
    "begin": start.begin,
    "start": start.start,
    "verify": start.verify,
    "open": start.open_up,
    "close": start.close,
    "point": name.point,
    "delegate": name.delegate,
    "certify": name.certify,
    "confirm": name.confirm,
    "by-address": name.by_address,
    "admit": vaults.admit,
    "turn": vaults.turn,
    "fill": vaults.fill,
    "bridge": protect.bridge,
    "protect": protect.protect,
    "mirror": protect.mirror,
    "sealable": protect.sealable,
    "state": protect.state,
    "stand-by": protect.stand_by,
}
